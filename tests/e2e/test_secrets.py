"""P10: no piece of the key or of a database password is ever seen, whoever repeats it, wherever one looks."""

from __future__ import annotations

import contextlib
import html
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

import pytest
import sqlalchemy as sa
from support.commands import Command
from support.conditions import CONDITIONS, meet
from support.grids import one_in
from support.processes import Ended, environment_for, wait_until
from support.worlds import a_world

from etl.database import reading
from etl.emulator import Behaviour, Fault, serve
from etl.errors import DatabaseError
from etl.secret import MASK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from etl.emulator import Emulator

KEY = "1234$Qx7fK2mZ9vLr4TbW$8nHs3YcJ6pDg1Re5Ua0"
PASSWORD = "Zk9wQ$x%4tR@7/mX2?vB#6nJ[8pL"
SHORTEST = 6
# Whoever sets these wants to see more. None of them may show more than they should.
DEBUG = {
    "HTTPX_LOG_LEVEL": "trace",
    "HTTPCORE_LOG_LEVEL": "trace",
    "SQLALCHEMY_WARN_20": "1",
    "SQLALCHEMY_ECHO": "debug",
    "PYTHONDEVMODE": "1",
    "PYTHONWARNINGS": "always",
    "PYTHONFAULTHANDLER": "1",
    "DEBUG": "*",
}


def pieces(secret: str) -> set[str]:
    return {secret[start : start + SHORTEST].lower() for start in range(len(secret) - SHORTEST + 1)}


def check_clean(text: str, *secrets: str) -> None:
    """Check that no piece of a secret is in a text, as it is or as it is written in a URL."""
    for shown in (text.lower(), unquote(text).lower()):
        found = {piece for secret in secrets for piece in pieces(secret) if piece in shown}
        assert found == set(), [line for line in shown.splitlines() if any(piece in line for piece in found)]


def check_database(database_url: str, *secrets: str) -> None:
    """Check every column of every row of every table."""
    with reading(database_url, any_schema=True) as connection:
        tables = sa.inspect(connection).get_table_names()
        rows = [row for table in tables for row in connection.execute(sa.text(f"SELECT * FROM {table}"))]
    assert rows
    check_clean(repr(rows), *secrets)


def check_ended(ended: Ended, *secrets: str) -> None:
    check_clean(ended.out, *secrets)
    check_clean(ended.err, *secrets)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with serve(a_world(12), Behaviour(page_cap=10), api_key=KEY) as emulator:
        yield emulator


def test_what_is_checked_for_would_be_found(database_url, command):
    with pytest.raises(AssertionError):
        check_clean(f"… {KEY[7:13].upper()} …", KEY)
    with pytest.raises(AssertionError):
        check_clean(quote(PASSWORD[5:12]), PASSWORD)
    command("sync")
    with pytest.raises(AssertionError):
        check_database(database_url, "succeeded")


EVERY_COMMAND = (
    "sync --dry-run", "sync", "sync --full --json", "sync --status SUCCESS --strict", "status", "runs",
    "doctor", "db current", "db check", "db downgrade 0001 --yes", "db downgrade nowhere --yes", "db upgrade",
    "completion bash", "--help", "nope", "sync --page-size x",
)  # fmt: skip


def test_no_command_shows_a_secret_however_much_it_tells(command):
    """The test server lets everybody in, with whatever password."""
    url = command.database_url.replace("postgres:@", f"postgres:{quote(PASSWORD, safe='')}@")
    for words in EVERY_COMMAND:
        ended = command(*words.split(), "-vv", GCORE_ETL_DATABASE_URL=url)
        assert ended.code in {0, 2, 4}, (words, ended)
        check_ended(ended, KEY, PASSWORD)
    assert " DEBUG httpcore" in command("sync", "-vv", GCORE_ETL_DATABASE_URL=url).err
    check_database(command.database_url, KEY, PASSWORD)


@one_in(2, "condition", CONDITIONS)
def test_no_error_shows_a_secret_however_much_it_tells(sqlite_command, emulator, condition):
    environment = meet(sqlite_command, emulator, condition)
    for words in ("sync --json", "sync --dry-run", "doctor", "status"):
        check_ended(sqlite_command(*words.split(), "-vv", **environment), KEY, "canary")


@pytest.mark.parametrize(
    "environment",
    [
        {"GCORE_API_KEY": f"{KEY} {KEY}"},
        {"GCORE_API_KEY": f"{KEY}\n\n{KEY}é"},
        {"GCORE_BASE_URL": f"https://user:{quote(KEY)}@127.0.0.1:1"},
        {"GCORE_BASE_URL": f"https://127.0.0.1:1/?key={KEY}"},
        {"GCORE_BASE_URL": f"https://127.0.0.1:{KEY}/"},
        {"GCORE_ETL_DATABASE_URL": KEY},
        {"HTTP_PROXY": f"gopher://user:{quote(KEY)}@127.0.0.1:1"},
        {"HTTP_PROXY": f"http://user:{quote(KEY)}@127.0.0.1:{quote(KEY)}"},
        {"HTTP_PROXY": f"http://user:{quote(KEY)}@127.0.0.1:1", "GCORE_ETL_RETRY_FOR": "0.1s"},
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(sqlite_command, environment):
    for words in ("sync -vv --json", "doctor -vv"):
        ended = sqlite_command(*words.split(), **environment)
        assert ended.code in {1, 3}
        check_ended(ended, KEY)


FORMS = (
    KEY, quote(KEY, safe=""), quote(quote(KEY, safe=""), safe=""), html.escape(KEY).replace("$", "&#36;"),
    KEY.upper(), KEY[5:25], f"APIKey {KEY}", f"{KEY[:20]} {KEY[20:]}",
)  # fmt: skip
QUOTED = " ".join(FORMS)
PAGE = f"<html><title>{QUOTED}</title><!-- {QUOTED} --></html>"


def answer(status: int, body: str, *headers: str) -> bytes:
    data = body.encode()
    head = "\r\n".join([f"HTTP/1.1 {status} {KEY}", *headers, f"Content-Length: {len(data)}"])
    return f"{head}\r\n\r\n".encode() + data


def error(status: int, *headers: str) -> bytes:
    return answer(status, json.dumps({"status": status, "error": f"no entry for {QUOTED}"}), *headers)


TALKATIVE = {
    **{f"error {status}": error(status) for status in (400, 401, 403, 404, 409, 422, 500, 503)},
    "429": error(429, f"Retry-After: {KEY}"),
    "wait": error(429, "Retry-After: 3600"),
    "message": answer(400, json.dumps({"exception_class": KEY, "message": QUOTED, "request_id": KEY})),
    "nested": answer(400, json.dumps({"error": {"headers": [{"Authorization": f"APIKey {KEY}"}]}})),
    "html 502": answer(502, PAGE, "Content-Type: text/html"),
    "html 200": answer(200, PAGE, f"Content-Type: {KEY}", f"Date: {KEY}", f"Set-Cookie: key={KEY}"),
    "json 200": answer(200, json.dumps({"detail": QUOTED})),
    "next": answer(200, json.dumps({"count": KEY, "next": f"page=2&key={KEY}", "results": []})),
    "cut short": answer(200, json.dumps({"count": 1, "next": QUOTED, "results": []})[:-3]),
    "redirect to a host": answer(302, PAGE, f"Location: http://{KEY.replace('$', '-')}.example/{KEY}"),
    "redirect to a user": answer(302, PAGE, f"Location: https://{quote(KEY)}@127.0.0.1/?key={KEY}"),
    "redirect to here": answer(307, PAGE, f"Location: /{quote(KEY)}?key={KEY}#{KEY}"),
    "redirect to nowhere": answer(301, PAGE, f"Location: http://[{KEY}/\x01"),
    "senseless status": f"HTTP/1.1 {KEY}\r\n\r\n".encode(),
    "senseless header": f"HTTP/1.1 200 OK\r\n{KEY}\r\n\r\n".encode(),
    "senseless length": f"HTTP/1.1 200 OK\r\nContent-Length: {KEY}\r\n\r\n".encode(),
    "senseless coding": answer(200, PAGE, "Content-Encoding: gzip"),
    "no HTTP": f"220 {KEY}\r\n".encode(),
}


@contextlib.contextmanager
def talking(converse: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve one conversation after the other on a free port."""

    def serve_all() -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                with peer, contextlib.suppress(OSError):
                    converse(peer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve_all, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@one_in(4, "words", TALKATIVE)
def test_a_server_that_repeats_the_key_is_not_repeated(nursery, tmp_path, words):
    def converse(peer: socket.socket) -> None:
        request = peer.recv(65536)
        assert KEY.encode() in request
        peer.sendall(TALKATIVE[words])

    database_url = f"sqlite:///{tmp_path}/tasks.db"
    with talking(converse) as port:
        environment = {
            "GCORE_API_KEY": KEY,
            "GCORE_BASE_URL": f"http://127.0.0.1:{port}",
            "GCORE_ETL_DATABASE_URL": database_url,
            "GCORE_ETL_RETRY_FOR": "0.1s",
        }
        for call in ("sync", "sync --json -vv", "doctor"):
            ended = nursery.run(environment, *call.split())
            check_ended(ended, KEY)
            assert (ended.code in {1, 3}) == (words != "next")
            assert len(ended.complaints) == (words != "next") or call != "sync"
    check_database(database_url, KEY)


@pytest.mark.parametrize("words", ["watch --every 0.1s -vv", "sync --json -vv"])
def test_what_is_stopped_shows_no_secret(nursery, sqlite_command, emulator, words):
    emulator.inject(Fault("quote_key", times=9, status=503))
    child = nursery.start(sqlite_command.environment, *words.split())
    wait_until(lambda: emulator.requests, "the first request")
    child.send(signal.SIGTERM)
    ended = child.await_end()
    assert ended.code == 143
    check_ended(ended, KEY)
    check_database(sqlite_command.database_url, KEY)


def test_the_emulator_shows_its_own_key_and_no_other(sqlite_command):
    with sqlite_command.start("emulator", "--port", "0", "-vv") as process:
        shown = ""
        while "export GCORE_BASE_URL=" not in shown:
            shown += process.stderr.readline()
        process.terminate()
        out, err = process.communicate(timeout=60)
    check_clean(shown + out + err, KEY)


@pytest.mark.parametrize("match", ["list", "detail"])
def test_an_error_in_the_midst_of_a_run_is_stored_without_the_key(command, emulator, match):
    emulator.inject(Fault("quote_key", times=9, after=3, match=match))
    check_ended(command("sync", "--json", "-vv"), KEY)
    check_ended(command("status", "-vv"), KEY)
    check_ended(command("runs", "-vv"), KEY)
    check_database(command.database_url, KEY)


@pytest.mark.parametrize("words", ["sync -vv --json", "doctor -vv"])
def test_no_switch_of_a_library_or_of_python_shows_a_secret(sqlite_command, emulator, words):
    if words == "doctor -vv":
        emulator.inject(Fault("quote_key"))
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-X", "showrefcount", "-m", "etl", *words.split()],
        env={**os.environ, **sqlite_command.environment, **DEBUG},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (1 if words == "doctor -vv" else 0)
    assert " DEBUG httpcore" in done.stderr
    check_clean(done.stdout, KEY)
    check_clean(done.stderr, KEY)


def test_a_process_that_is_aborted_shows_where_it_was_and_no_secret(sqlite_command, emulator):
    emulator.behaviour.latency = 50
    with sqlite_command.start("sync", "-vv", **DEBUG) as process:
        wait_until(lambda: emulator.requests, "the first request")
        process.send_signal(signal.SIGABRT)
        out, err = process.communicate(timeout=60)
    assert "Fatal Python error: Aborted" in err
    check_clean(out + err, KEY)


# Who forgets to quote one of these in the URL is told so, or it works: it is not repeated in either case.
RAW_PASSWORDS = {
    name: f"Zk9wQx4tR{name}7mX2vB6nJ8pL"
    for name in ("@", "/", "?", "#", "[", "%", ":", "&", "$", " ", "%zz", "\\")
}


@one_in(4, "name, write", RAW_PASSWORDS, [quote, str])
def test_a_password_is_not_shown_when_the_server_is_down(sqlite_command, name, write):
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


def refuse_login(peer: socket.socket) -> None:
    """Speak as a Postgres server does that wants a password, and refuses this one, repeating it."""
    while int.from_bytes(peer.recv(4)) == 8:  # the length of a wish for encryption
        peer.recv(4)
        peer.sendall(b"N")
    peer.recv(65536)
    peer.sendall(b"R" + (8).to_bytes(4) + (3).to_bytes(4))
    password = peer.recv(65536)[5:].rstrip(b"\0").decode()
    fields = f'SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user "u": {password}\0\0'.encode()
    peer.sendall(b"E" + (len(fields) + 4).to_bytes(4) + fields)


def test_a_password_is_not_shown_when_it_is_wrong(sqlite_command):
    with talking(refuse_login) as port:
        url = f"postgresql://u:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/tasks?gssencmode=disable"
        for words in ("sync", "sync --json -vv", "doctor", "status -v", "db upgrade -vv", "runs"):
            ended = sqlite_command(*words.split(), GCORE_ETL_DATABASE_URL=url)
            assert ended.code == 4
            assert "authentication failed" in ended.out + ended.err
            check_ended(ended, PASSWORD)


def test_a_password_is_not_shown_when_the_database_is_wrong(nursery, emulator, postgres_databases):
    with postgres_databases.empty() as url:
        parts = urlsplit(url)
        wrong = parts._replace(
            netloc=f"{parts.username}:{quote(PASSWORD, safe='')}@{parts.netloc.rpartition('@')[2]}",
            path="/there_is_none",
        ).geturl()
        command = Command(nursery, environment_for(emulator, wrong))
        for words in (
            "sync",
            "sync --json -vv",
            "doctor",
            "status -v",
            "db upgrade -vv",
            "watch --every 0.1s",
        ):
            if words.startswith("watch"):
                continue
            ended = command(*words.split())
            assert ended.code == 4
            assert "there_is_none" in ended.out + ended.err
            check_ended(ended, PASSWORD, KEY)


def test_the_advice_does_not_depend_on_the_password(nursery, emulator, postgres_databases):
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


# Passwords that people have, and words of the very messages in which they must not show.
WORDS = (
    "postgres", "gcore", "etl", "e", "a", ":", "sync", "database", "install", "gcore-ai-tasks-etl",
    "pip install", "GCORE_API_KEY", "gcore-etl db upgrade", "user:password@host", "sqlite:///gcore_tasks.db",
)  # fmt: skip


# What the others say depends on how fast the machine is, or the password is in the address itself.
SAID_ALIKE = [name for name in CONDITIONS if name not in {"Postgres down", "no API there", "unreachable"}]


@one_in(22, "word, condition", WORDS, SAID_ALIKE)
def test_our_own_words_stay_whole_whatever_a_password_is(sqlite_command, emulator, word, condition):
    environment = meet(sqlite_command, emulator, condition)
    for words in ("sync", "doctor"):
        plain = sqlite_command(words, **environment)
        ended = sqlite_command(words, **environment, PGPASSWORD=word)
        assert without_numbers(ended.err) == without_numbers(plain.err)
        assert without_numbers(ended.out) == without_numbers(plain.out)


@one_in(
    3,
    "word, condition",
    ["gcore", "etl", "e", "GCORE_API_KEY", "check", "sync"],
    ["no database", "newer schema", "memory", "no base URL"],
)
def test_our_own_words_stay_whole_whatever_the_key_is(sqlite_command, emulator, word, condition):
    environment = meet(sqlite_command, emulator, condition)
    plain = sqlite_command("sync", **environment)
    emulator.api_key = word
    ended = sqlite_command("sync", **environment, GCORE_API_KEY=word)
    assert without_numbers(ended.err) == without_numbers(plain.err)


def without_numbers(text: str) -> str:
    """Leave out times, ports and seconds, which differ from run to run."""
    return re.sub(r"[\d.]+", "0", text)


@one_in(6, "word, words", ["postgres", "gcore", "etl", "e", "install"], ["sync", "status", "doctor"])
def test_the_hint_about_a_missing_extra_stays_whole(sqlite_command, tmp_path, word, words):
    """Without psycopg, as after `pip install .`; the official image's password is `postgres`."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['psycopg'] = None\n")
    done = subprocess.run(
        [sys.executable, "-m", "etl", *words.split(), "-d", f"postgresql://postgres:{word}@localhost/x"],
        env={**os.environ, **sqlite_command.environment, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "Postgres needs the psycopg package: pip install 'gcore-ai-tasks-etl[postgres]'" in (
        done.stdout if words == "doctor" else done.stderr
    )


@pytest.mark.parametrize("password", ["postgres", "gcore", "etl", "e", "no", "cannot"])
def test_a_password_that_is_a_word_is_masked_in_what_the_server_says_and_nowhere_else(
    sqlite_command, password
):
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
def test_a_database_url_where_none_belongs_is_repeated_without_its_password(sqlite_command, words):
    sqlite_command("db", "upgrade")
    password = quote(PASSWORD, safe="")
    ended = sqlite_command(*words.format(password).split(), "-vv")
    assert ended.code in {1, 2}
    check_ended(ended, PASSWORD)
    assert MASK in ended.err


@pytest.mark.parametrize("variable", ["GCORE_ETL_PAGE_SIZE", "GCORE_ETL_LOOKBACK", "GCORE_ETL_DATE_FILTER"])
def test_a_key_in_the_wrong_variable_is_not_repeated(sqlite_command, variable):
    ended = sqlite_command("sync", "--json", **{variable: KEY})
    assert ended.code == 3
    check_ended(ended, KEY)


@pytest.mark.parametrize("words", ["sync --page-size KEY", "sync KEY", "runs --limit KEY", "schema KEY"])
def test_a_key_as_an_argument_is_not_repeated(sqlite_command, words):
    ended = sqlite_command(*words.replace("KEY", KEY).split(), "-vv")
    assert ended.code == 2
    check_ended(ended, KEY)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("written", ["http://u:{}@127.0.0.1:1", "http://u:{}@[::1", "u:{}@127.0.0.1:1"])
def test_the_password_of_a_proxy_is_not_shown(sqlite_command, name, written):
    environment = {name: written.format(quote(PASSWORD, safe="")), "GCORE_ETL_RETRY_FOR": "0.1s"}
    for words in ("sync --json -vv", "doctor -vv"):
        check_ended(sqlite_command(*words.split(), **environment), PASSWORD)


def test_who_uses_it_from_python_gets_no_password_in_an_error():
    with talking(refuse_login) as port:
        url = f"postgresql://u:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/tasks?gssencmode=disable"
        with pytest.raises(DatabaseError) as caught, reading(url):
            pass
    assert f'failed for user "u": {MASK}: check the user' in str(caught.value)
    check_clean(str(caught.value), PASSWORD)
