"""The options of a Postgres URL are checked before connecting."""

from __future__ import annotations

import socket
from urllib.parse import quote

import pytest

from etl.database import open_engine
from etl.errors import ConfigurationError

HOST = "postgresql://user:hunter2@127.0.0.1:1/tasks"
# As managed services and other tools write them, and as people mistype them.
UNKNOWN = {
    "pgbouncer=true": "no option 'pgbouncer': leave it out",
    "connection_limit=1": "no option 'connection_limit': leave it out",
    "pool_timeout=10": "no option 'pool_timeout': leave it out",
    "prepare_threshold=0": "no option 'prepare_threshold': leave it out",
    "autocommit=true": "no option 'autocommit': leave it out",
    "schema=public": "no option 'schema': write options=-csearch_path%3Dpublic instead",
    "currentSchema=eu": "no option 'currentSchema': write options=-csearch_path%3Deu instead",
    "schema=a+b": "no option 'schema': write options=-csearch_path%3DNAME instead",
    "ssl=true": "no option 'ssl': write sslmode=require instead",
    "useSSL=true": "write sslmode=require instead",
    "sslmodus=require": "no option 'sslmodus': write sslmode instead",
    "SSLMODE=require": "no option 'SSLMODE': write sslmode instead",
    "replication=database": "no option 'replication': leave it out",
    "pgbouncer=true&ssl=1": "'pgbouncer': leave it out; PostgreSQL has no option 'ssl'",
}
WRONG = {
    "sslmode=bogus": "sslmode cannot be 'bogus': write one of disable, allow, prefer, require",
    "sslmode=REQUIRE": "sslmode cannot be 'REQUIRE'",
    "connect_timeout=abc": "connect_timeout cannot be 'abc': write a number",
    "port=99999": "port cannot be '99999': write a number from 1 to 65535",
    "port=x": "port cannot be 'x'",
    "keepalives_idle=soon": "keepalives_idle cannot be 'soon'",
    "target_session_attrs=primary-only": "target_session_attrs cannot be 'primary-only'",
    "gssencmode=maybe": "gssencmode cannot be 'maybe'",
    "sslsni=yes": "sslsni cannot be 'yes'",
    "channel_binding=1": "channel_binding cannot be '1'",
}


@pytest.fixture
def silence(monkeypatch) -> None:
    """Fail on any connection or name lookup."""

    def refuse(*_):
        raise AssertionError("nothing may be sent")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse, raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def refused(url: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        open_engine(url)
    assert (caught.value.exit_code, "\n" in str(caught.value)) == (3, False)
    assert "hunter" not in str(caught.value)
    assert caught.value.__cause__ is None
    return str(caught.value)


@pytest.mark.usefixtures("silence")
@pytest.mark.parametrize("query", UNKNOWN | WRONG)
def test_invalid_options_are_rejected_with_a_fix(query):
    assert (UNKNOWN | WRONG)[query] in refused(f"{HOST}?{query}")


@pytest.mark.usefixtures("silence")
def test_invalid_port_in_authority_is_rejected():
    assert "port cannot be '99999'" in refused("postgresql://user:hunter2@127.0.0.1:99999/tasks")


GOOD = [
    "sslmode=verify-full&sslrootcert=system",
    "host=/run/postgresql",
    "host=a&host=b&target_session_attrs=read-write",
    "host=a,b&port=5432,5433",
    "options=-csearch_path%3Deu,public",
    "application_name=nightly&connect_timeout=3&keepalives_idle=10",
    "connect_timeout=-1",
    "user=me&password=hunter2",
    "service=prod&passfile=/nowhere",
    "client_encoding=latin1",
]


@pytest.mark.parametrize("query", GOOD)
def test_valid_libpq_options_are_accepted(query):
    open_engine(f"postgresql://127.0.0.1:1/tasks?{query}").dispose()


@pytest.mark.usefixtures("silence")
@pytest.mark.parametrize(
    "name, value, words",
    [
        ("PGSSLMODE", "bogus", "PGSSLMODE in the environment, or a service file: sslmode cannot be 'bogus'"),
        ("PGPORT", "abc", "port cannot be 'abc'"),
        ("PGCONNECT_TIMEOUT", "soon", "connect_timeout cannot be 'soon'"),
        ("PGTARGETSESSIONATTRS", "leader", "target_session_attrs cannot be 'leader'"),
    ],
)
def test_libpq_variables_are_checked_unless_overridden(monkeypatch, name, value, words):
    monkeypatch.setenv(name, value)
    assert words in refused("postgresql://user:hunter2@127.0.0.1/tasks")
    good = "sslmode=disable&port=1&connect_timeout=3&target_session_attrs=any"
    open_engine(f"postgresql://127.0.0.1/tasks?{good}").dispose()


def test_service_file_is_checked(monkeypatch, tmp_path):
    file = tmp_path / "services.conf"
    file.write_text("[prod]\nsslmode=bogus\npassword=hunter2\n")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    monkeypatch.setenv("PGSERVICE", "prod")
    assert "sslmode cannot be 'bogus'" in refused("postgresql://127.0.0.1/tasks")


# Parsed as written, each has a piece of the password where an option is expected.
LEAKING = ["hun@h/d?ter2=x", "hunter2@h?hunter2=x", "a@hunter2@h/d?ssl=true", "x@h/d?hunter2=1@y"]


@pytest.mark.parametrize("written", LEAKING)
def test_error_does_not_leak_unescaped_password(written):
    line = refused(f"postgresql://user:{written}@127.0.0.1/tasks")
    assert "more than one @" in line or "is malformed" in line
    assert "ter2" not in line


def test_escaped_password_may_contain_any_character():
    engine = open_engine(f"postgresql://user:{quote('a@b?ssl=true&x=/#', safe='')}@127.0.0.1:1/tasks")
    assert engine.url.password == "a@b?ssl=true&x=/#"
