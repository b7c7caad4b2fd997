"""P10: no password of a database or a proxy is seen, whatever is wrong with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import pytest
from support.commands import Command
from support.grids import one_in
from support.processes import environment_for
from support.secrets import KEY, PASSWORD, check_clean, check_ended, refuse_login, talking
from support.worlds import a_world

from etl.database import reading
from etl.emulator import Behaviour, serve
from etl.errors import DatabaseError
from etl.secret import MASK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.emulator import Emulator


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with serve(a_world(12), Behaviour(page_cap=10), api_key=KEY) as emulator:
        yield emulator


# Who forgets to quote one of these in the URL is told so, or it works: it is not repeated in either case.
RAW_PASSWORDS = {
    name: f"Zk9wQx4tR{name}7mX2vB6nJ8pL"
    for name in ("@", "/", "?", "#", "[", "%", ":", "&", "$", " ", "%zz", "\\")
}


@one_in(4, "name, write", RAW_PASSWORDS, [quote, str])
def test_password_is_redacted_if_server_is_down(sqlite_command, name, write):
    password = RAW_PASSWORDS[name]
    written = quote(password, safe="") if write is quote else password
    for words, url in {
        "sync --json -vv": f"postgresql://user:{written}@127.0.0.1:1/tasks",
        "doctor -vv": f"postgresql://user:{written}@127.0.0.1:1/tasks",
        "status -vv": f"postgresql://127.0.0.1:1/tasks?user=u&password={written}",
    }.items():
        ended = sqlite_command(*words.split(), GCORE_ETL_DATABASE_URL=url)
        assert ended.code in {3, 4}
        check_ended(ended, password)


def test_wrong_password_is_redacted(sqlite_command):
    with talking(refuse_login) as port:
        url = f"postgresql://u:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/tasks?gssencmode=disable"
        for words in ("sync", "sync --json -vv", "doctor", "status -v", "db upgrade -vv", "runs"):
            ended = sqlite_command(*words.split(), GCORE_ETL_DATABASE_URL=url)
            assert ended.code == 4
            assert "authentication failed" in ended.out + ended.err
            check_ended(ended, PASSWORD)


def test_password_is_redacted_if_database_does_not_exist(nursery, emulator, postgres_databases):
    with postgres_databases.empty() as url:
        parts = urlsplit(url)
        wrong = parts._replace(
            netloc=f"{parts.username}:{quote(PASSWORD, safe='')}@{parts.netloc.rpartition('@')[2]}",
            path="/there_is_none",
        ).geturl()
        command = Command(nursery, environment_for(emulator, wrong))
        for words in ("sync", "sync --json -vv", "doctor", "status -v", "db upgrade -vv"):
            ended = command(*words.split())
            assert ended.code == 4
            assert "there_is_none" in ended.out + ended.err
            check_ended(ended, PASSWORD, KEY)


def test_error_advice_is_independent_of_password(nursery, emulator, postgres_databases):
    """What the server says is looked up before it is cleaned, and a password may be a word of it."""
    with postgres_databases.empty() as url:
        host = urlsplit(url).netloc.rpartition("@")[2]
        wrong = urlsplit(url)._replace(netloc=f"postgres:database@{host}", path="/nosuch").geturl()
        for address, advice in {
            wrong: "create it, or name another in the database URL",
            "postgresql://u:refused@127.0.0.1:1/d": "check that the server is running and can be reached",
        }.items():
            ended = Command(nursery, environment_for(emulator, address))("status")
            assert ended.code == 4
            assert MASK in ended.err
            assert ended.err.endswith(f": {advice}\n")


@pytest.mark.parametrize("password", ["postgres", "gcore", "etl", "e", "no", "cannot"])
def test_password_is_masked_only_in_server_message(sqlite_command, password):
    with talking(refuse_login) as port:
        url = f"postgresql://u:{password}@127.0.0.1:{port}/tasks?gssencmode=disable"
        ended = sqlite_command("sync", "--json", GCORE_ETL_DATABASE_URL=url)
    (line,) = ended.complaints
    assert line.startswith("Error: the database cannot be used: connection failed: ")
    assert f'password authentication failed for user "u": {MASK}: check the user and the password in' in line
    assert json.loads(ended.out)["error"] == line.removeprefix("Error: ")


MISPLACED = (
    "sync postgresql://u:{}@h/d", "postgresql://u:{}@h/d", "db postgresql://u:{}@h/d",
    "runs --limit postgresql://u:{}@h/d", "schema postgresql://u:{}@h/d", "sync --since postgresql://u:{}@h/d",
    "export postgresql://u:{}@h/d", "db upgrade postgresql://u:{}@h/d", "report -o postgresql://u:{}@h/d",
)  # fmt: skip


@one_in(2, "words", MISPLACED)
def test_password_is_masked_in_misplaced_database_url(sqlite_command, words):
    sqlite_command("db", "upgrade")
    password = quote(PASSWORD, safe="")
    ended = sqlite_command(*words.format(password).split(), "-vv")
    assert ended.code in {1, 2}
    check_ended(ended, PASSWORD)
    assert MASK in ended.err


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("written", ["http://u:{}@127.0.0.1:1", "http://u:{}@[::1", "u:{}@127.0.0.1:1"])
def test_proxy_password_is_redacted(sqlite_command, name, written):
    environment = {name: written.format(quote(PASSWORD, safe="")), "GCORE_ETL_RETRY_FOR": "0.1s"}
    for words in ("sync --json -vv", "doctor -vv"):
        check_ended(sqlite_command(*words.split(), **environment), PASSWORD)


def test_python_exceptions_contain_no_password():
    with talking(refuse_login) as port:
        url = f"postgresql://u:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/tasks?gssencmode=disable"
        with pytest.raises(DatabaseError) as caught, reading(url):
            pass
    assert f'failed for user "u": {MASK}: check the user' in str(caught.value)
    check_clean(str(caught.value), PASSWORD)
