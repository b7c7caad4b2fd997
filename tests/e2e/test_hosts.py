"""`explore` and the emulator reject requests from web pages (DNS rebinding, cross-site requests)."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
from typing import TYPE_CHECKING, Any

import pytest
from support.absent import give_up
from support.processes import TIME, start_command
from support.worlds import a_world, settings_for

from etl.emulator import serve
from etl.sync.api import run_sync
from etl.sync.options import SyncOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from etl.emulator import Emulator

TASK = "/tasks/tasks.json?_shape=array&_size=1"
FOREIGN = ("evil.example", "localhost.evil.example", "0.0.0.0", "")


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> str:
    path: Path = tmp_path_factory.mktemp("hosts") / "tasks.db"
    with serve(a_world(5)) as emulator:
        run_sync(settings_for(emulator, f"sqlite:///{path}"), SyncOptions(with_results=False))
    return f"sqlite:///{path}"


@contextlib.contextmanager
def exploring(copy: str, *options: str) -> Iterator[tuple[int, Any]]:
    """Run `explore`; yield its port and the process. The first line of stderr has been read."""
    words = ("explore", "--no-open", "--port", "0", "-d", copy, *options)
    with start_command({}, *words) as process:
        try:
            said = process.stderr.readline()
            assert "Datasette is running at http://" in said, said + process.stderr.read()
            yield int(re.search(r":(\d+)/", said)[1]), process
        finally:
            process.kill()


def talk(port: int, head: str, *, address: str = "127.0.0.1") -> tuple[int, str]:
    """Send a raw request head; return the status and the full response."""
    with socket.create_connection((address, port), timeout=60) as peer:
        peer.sendall(head.encode("latin-1") + b"\r\n\r\n")
        answer = b""
        while chunk := peer.recv(65536):
            answer += chunk
    return int(answer.split(b" ", 2)[1]), answer.decode("latin-1")


def ask(port: int, host: str, path: str = TASK, *lines: str, address: str = "127.0.0.1") -> tuple[int, str]:
    head = [f"GET {path} HTTP/1.1", f"Host: {host}", *lines, "Connection: close"]
    return talk(port, "\r\n".join(head), address=address)


def test_explore_rejects_foreign_host_headers(copy):
    with exploring(copy, "--allow-host", "copy.example") as (port, _):
        for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST.:{port}", f"[::1]:{port}"):
            status, answer = ask(port, host)
            assert (status, "task_id" in answer) == (200, True), host
        assert ask(port, "copy.example")[0] == 200
        for host in FOREIGN:
            for named in (host, f"{host}:{port}"):
                status, answer = ask(port, named)
                assert status in {400, 403}, named
                assert "task_id" not in answer
                for path in ("/", "/-/databases.json", "/tasks.db", "/-/static/app.css", "/nowhere"):
                    assert ask(port, named, path)[0] in {400, 403}


def test_host_check_of_explore_cannot_be_bypassed(copy):
    with exploring(copy) as (port, _):
        own, path = f"127.0.0.1:{port}", "/tasks/tasks.json"
        assert ask(port, "evil.example", path, f"X-Forwarded-Host: {own}", f"Forwarded: host={own}")[0] == 403
        for head in (
            f"GET {path} HTTP/1.0",
            f"GET {path} HTTP/1.1\r\nConnection: close",
            f"GET {path} HTTP/1.1\r\nHost: {own}\r\nHost: evil.example\r\nConnection: close",
            f"GET {path} HTTP/1.1\r\nHost: evil.example\r\nHost: {own}\r\nConnection: close",
            f"GET http://{own}{path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close",
            f"GET http://evil.example{path} HTTP/1.1\r\nHost: {own}\r\nConnection: close",
            f"GET {path} HTTP/1.1\r\nHost: {own}\r\nOrigin: http://evil.example\r\nConnection: close",
        ):
            status, answer = talk(port, head)
            assert status in {400, 403}, head
            assert "task_id" not in answer


@pytest.mark.parametrize("host, address", [("0.0.0.0", "127.0.0.1"), ("::", "::1")])
def test_explore_warns_if_reachable_from_network(copy, host, address):
    if host == "::" and not socket.has_dualstack_ipv6():
        give_up("there is no IPv6 here")
    with exploring(copy, "--host", host) as (port, process):
        line = process.stderr.readline()
        assert re.match(f"{TIME} WARNING etl.cli.hosts: Datasette answers everyone who can reach ", line)
        assert "--host 127.0.0.1" in line
        assert ask(port, f"192.168.0.7:{port}", address=address)[0] == 200
        assert ask(port, f"{socket.gethostname()}:{port}", address=address)[0] == 200
        assert ask(port, f"evil.example:{port}", address=address)[0] == 403


def test_explore_on_localhost_does_not_warn(copy):
    with exploring(copy) as (port, process):
        assert ask(port, f"localhost:{port}")[0] == 200
        process.terminate()
        assert process.stderr.read() == ""


@pytest.mark.parametrize("words", ["explore --no-open", "emulator"])
@pytest.mark.parametrize("name", ["", "a b", "http://copy.example"])
def test_invalid_allow_host_is_usage_error(nursery, copy, words, name):
    options = ["-d", copy] if words.startswith("explore") else []
    ended = nursery.run(dict(os.environ), *words.split(), "--port", "0", *options, "--allow-host", name)
    assert ended.code == 2
    assert "is not a host" in ended.complaints[0]


def test_uvicorn_log_lines_have_timestamp(copy):
    with exploring(copy) as (port, process):
        assert talk(port, "no HTTP at all")[0] == 400
        assert re.match(f"{TIME} WARNING uvicorn", process.stderr.readline())


def steer(emulator: Emulator, host: str, *lines: str, path: str = "/_emulator/advance?seconds=60") -> int:
    head = [f"POST {path} HTTP/1.1", f"Host: {host}", "Content-Length: 0", *lines, "Connection: close"]
    return talk(emulator.port, "\r\n".join(head))[0]


def test_emulator_control_rejects_foreign_host_headers():
    with serve(a_world(3), allowed=["emulator.example"]) as emulator:
        start, port = emulator.world.now, emulator.port
        own = (f"127.0.0.1:{port}", f"localhost:{port}", "emulator.example:80")
        assert [steer(emulator, host) for host in own] == [200, 200, 200]
        moved = emulator.world.now
        assert (moved - start).total_seconds() == 180
        for host in FOREIGN:
            assert steer(emulator, host) in {400, 403}
            assert steer(emulator, f"{host}:{port}") in {400, 403}
            assert ask(port, host, "/_emulator/stats")[0] in {400, 403}
        assert emulator.world.now == moved


@pytest.mark.parametrize(
    "path",
    [
        "http://evil.example/_emulator/advance?seconds=60",
        "/%5Femulator/advance?seconds=60",
        "/_emulator/%61dvance?seconds=60",
        "/_emulator/fault?kind=503",
        "/_emulator/behaviour",
        "/_emulator/nowhere",
    ],
)
def test_host_check_of_emulator_cannot_be_bypassed(path):
    with serve(a_world(3)) as emulator:
        start, own = emulator.world.now, f"127.0.0.1:{emulator.port}"
        host = own if path.startswith("http:") else "evil.example"
        assert steer(emulator, host, path=path) == 403
        assert (emulator.world.now, emulator.behaviour.faults) == (start, [])


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:3000", "file://"])
def test_emulator_control_rejects_foreign_origins(origin):
    with serve(a_world(3)) as emulator:
        start, own = emulator.world.now, f"127.0.0.1:{emulator.port}"
        assert steer(emulator, own, f"Origin: {origin}") == 403
        assert emulator.world.now == start
        assert steer(emulator, own, f"Origin: http://{own}") == 200


def test_emulated_api_accepts_any_host_with_key():
    with serve(a_world(3)) as emulator:
        key = f"Authorization: APIKey {emulator.api_key}"
        status, answer = ask(emulator.port, "api.gcore.com", "/streaming/ai/tasks", key)
        assert (status, json.loads(answer.partition("\r\n\r\n")[2])["count"]) == (200, 3)


def test_emulator_warns_if_reachable_from_network():
    with start_command({}, "emulator", "--port", "0", "--tasks", "1", "--host", "0.0.0.0") as process:
        try:
            lines = [process.stderr.readline() for _ in range(3)]
        finally:
            process.kill()
    assert "WARNING etl.cli.hosts: the emulator answers everyone" in lines[2]
