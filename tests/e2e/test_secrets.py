"""P10: no part of the API key or of a password appears in output, logs, errors or the database."""

from __future__ import annotations

import html
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from support.conditions import CONDITIONS, meet
from support.grids import one_in
from support.processes import wait_until
from support.secrets import KEY, PASSWORD, check_clean, check_database, check_ended, talking
from support.worlds import a_world

from etl.emulator import Behaviour, Fault, serve

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from etl.emulator import Emulator


# Debug settings, which must not reveal secrets either.
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


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with serve(a_world(12), Behaviour(page_cap=10), api_key=KEY) as emulator:
        yield emulator


def test_leaked_secrets_are_detected_by_the_checks(database_url, command):
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


def test_verbose_output_contains_no_secrets(command):
    """The test server accepts any password."""
    url = command.database_url.replace("postgres:@", f"postgres:{quote(PASSWORD, safe='')}@")
    for words in EVERY_COMMAND:
        ended = command(*words.split(), "-vv", GCORE_ETL_DATABASE_URL=url)
        assert ended.code in {0, 2, 4}, (words, ended)
        check_ended(ended, KEY, PASSWORD)
    assert " DEBUG httpcore" in command("sync", "-vv", GCORE_ETL_DATABASE_URL=url).err
    check_database(command.database_url, KEY, PASSWORD)


@one_in(2, "condition", CONDITIONS)
def test_verbose_errors_contain_no_secrets(sqlite_command, emulator, condition):
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
def test_misplaced_key_in_environment_is_not_echoed(sqlite_command, environment):
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


@one_in(4, "words", TALKATIVE)
def test_key_echoed_by_server_is_redacted(nursery, tmp_path, words):
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
def test_interrupted_command_prints_no_secrets(nursery, sqlite_command, emulator, words):
    emulator.inject(Fault("quote_key", times=9, status=503))
    child = nursery.start(sqlite_command.environment, *words.split())
    wait_until(lambda: emulator.requests, "the first request")
    child.send(signal.SIGTERM)
    ended = child.await_end()
    assert ended.code == 143
    check_ended(ended, KEY)
    check_database(sqlite_command.database_url, KEY)


def test_emulator_does_not_print_key_from_environment(sqlite_command):
    with sqlite_command.start("emulator", "--port", "0", "-vv") as process:
        shown = ""
        while "export GCORE_BASE_URL=" not in shown:
            shown += process.stderr.readline()
        process.terminate()
        out, err = process.communicate(timeout=60)
    check_clean(shown + out + err, KEY)


@pytest.mark.parametrize("match", ["list", "detail"])
def test_key_is_redacted_in_stored_run_errors(command, emulator, match):
    emulator.inject(Fault("quote_key", times=9, after=3, match=match))
    check_ended(command("sync", "--json", "-vv"), KEY)
    check_ended(command("status", "-vv"), KEY)
    check_ended(command("runs", "-vv"), KEY)
    check_database(command.database_url, KEY)


@pytest.mark.parametrize("words", ["sync -vv --json", "doctor -vv"])
def test_debug_settings_of_libraries_reveal_no_secrets(sqlite_command, emulator, words):
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


def test_abort_traceback_contains_no_secrets(sqlite_command, emulator):
    emulator.behaviour.latency = 50
    with sqlite_command.start("sync", "-vv", **DEBUG) as process:
        wait_until(lambda: emulator.requests, "the first request")
        process.send_signal(signal.SIGABRT)
        out, err = process.communicate(timeout=60)
    assert "Fatal Python error: Aborted" in err
    check_clean(out + err, KEY)


@pytest.mark.parametrize("variable", ["GCORE_ETL_PAGE_SIZE", "GCORE_ETL_LOOKBACK", "GCORE_ETL_DATE_FILTER"])
def test_key_in_wrong_variable_is_not_echoed(sqlite_command, variable):
    ended = sqlite_command("sync", "--json", **{variable: KEY})
    assert ended.code == 3
    check_ended(ended, KEY)


@pytest.mark.parametrize("words", ["sync --page-size KEY", "sync KEY", "runs --limit KEY", "schema KEY"])
def test_key_as_argument_is_not_echoed(sqlite_command, words):
    ended = sqlite_command(*words.replace("KEY", KEY).split(), "-vv")
    assert ended.code == 2
    check_ended(ended, KEY)
