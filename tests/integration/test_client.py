"""The client on a real socket: requests, responses, and errors that are not retried."""

from __future__ import annotations

import concurrent.futures
import gc
import socket
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING

import httpcore
import pytest
from support.clients import SLACK, TASKS, client_for, raw_server, read, timed
from support.worlds import NOW, a_world

from etl.emulator import Behaviour, Fault, serve
from etl.errors import (
    ConfigurationError,
    CredentialsRefused,
    FeatureDisabled,
    ForeignRedirect,
    NotFound,
    RequestRefused,
    SourceError,
    Stopped,
)
from etl.extract.client import Client
from etl.extract.payload import CONTENT
from etl.extract.response import parse_date
from etl.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.emulator import Emulator


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with serve(a_world(30)) as emulator:
        yield emulator


def read_detail(emulator: Emulator, client: Client) -> object:
    return client.fetch_detail(min(emulator.world.tasks))


def test_request_carries_key_and_parameters(emulator):
    seen = []
    emulator.behaviour.before_request = seen.append
    with client_for(emulator) as client:
        client.fetch_page({"status": "SUCCESS", "search": "a&b c"}, page=2, limit=7)
    (request,) = seen
    assert request.headers["authorization"] == f"APIKey {emulator.api_key}"
    assert request.headers["user-agent"].startswith("gcore-etl/")
    assert (request.method, request.path) == ("GET", TASKS)
    assert request.query == {"status": "SUCCESS", "search": "a&b c", "page": "2", "limit": "7"}


def test_task_id_is_escaped_in_the_path(emulator):
    with client_for(emulator) as client, pytest.raises(NotFound, match="tasks/a%2Fb%3Fc%25"):
        client.fetch_detail("a/b?c%")
    assert (emulator.requests[0].path, emulator.requests[0].query) == (f"{TASKS}/a/b?c%", {})


@pytest.mark.parametrize("shape", ["present", "older"])
def test_both_record_shapes_are_read(emulator, shape):
    emulator.behaviour.record_shape = shape
    with client_for(emulator) as client:
        page = read(client, limit=20)
        details = [client.fetch_detail(record.task_id) for record in page.records]
    assert (page.count, page.has_next, page.served_at) == (30, True, NOW)
    true = [emulator.world.tasks[task_id] for task_id in sorted(emulator.world.tasks)[:20]]
    for task, record, detail in zip(true, page.records, details, strict=True):
        said = dict(zip(CONTENT, record.content(), strict=True))
        assert (said["task_name"], said["url"]) == (task.task_name, task.task_data["url"])
        assert (record.task_id, record.status, record.progress) == (task.task_id, task.status, task.progress)
        assert record.started_at == (task.started_at if shape == "present" else None)
        assert detail.task.started_at == task.started_at
        assert (detail.task.task_id, detail.task.status) == (task.task_id, task.status)


FINAL: dict[int, tuple[type[Exception], int, str]] = {
    400: (RequestRefused, 1, r"refused /streaming/ai/tasks.* \(HTTP 400\): Bad Request"),
    401: (CredentialsRefused, 3, r"HTTP 401.*GCORE_API_KEY.*single quotes"),
    403: (CredentialsRefused, 3, r"HTTP 403.*GCORE_API_KEY"),
    404: (NotFound, 1, r"HTTP 404.*GCORE_BASE_URL"),
    405: (RequestRefused, 1, "HTTP 405"),
    409: (RequestRefused, 1, "HTTP 409"),
    410: (NotFound, 1, "HTTP 410"),
    422: (FeatureDisabled, 3, "not enabled for this account.*support"),
}


@pytest.mark.parametrize("status", FINAL)
def test_a_permanent_failure_is_not_retried(emulator, status):
    error, exit_code, words = FINAL[status]
    emulator.inject(Fault("quote_key", times=9, status=status))
    for fetch in (read, lambda client: read_detail(emulator, client)):
        emulator.reset_log()
        with client_for(emulator) as client, pytest.raises(error, match=words) as caught:
            fetch(client)
        assert type(caught.value) is error
        assert caught.value.exit_code == exit_code
        assert len(emulator.requests) == 1
        assert emulator.api_key[5:] not in str(caught.value)


def test_a_disabled_feature_is_reported_with_the_servers_message(emulator):
    emulator.behaviour.feature_disabled = True
    with client_for(emulator) as client, pytest.raises(FeatureDisabled, match="Contact support to enable"):
        read(client)
    assert len(emulator.requests) == 1


@pytest.mark.parametrize(
    "header, moment",
    [
        ("Fri, 26 Jun 2026 12:00:00 GMT", NOW),
        ("Fri, 26 Jun 2026 14:00:00 +0200", NOW),
        ("Fri, 26 Jun 2026 12:00:00", NOW),
        (None, None),
        ("", None),
        ("the day after tomorrow", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 -1400", None),
    ],
)
def test_date_header_is_parsed_or_ignored_if_invalid(header, moment):
    assert parse_date(header) == moment


def test_same_origin_redirect_is_followed_with_the_key(emulator):
    emulator.inject(
        Fault("redirect_same_origin"),
        Fault("redirect_same_origin", url=f"{emulator.base_url}{TASKS}?limit=3"),
    )
    with client_for(emulator) as client:
        assert len(read(client).records) == 3
        assert client.requests == 3
    assert [record.authorized for record in emulator.requests] == [True] * 3


@pytest.mark.parametrize("target", ["{other}/streaming/ai/tasks", "//{rest}/x", "https://{here}/x"])
def test_key_is_never_sent_to_another_origin(emulator, target):
    with serve(a_world(3), api_key=emulator.api_key) as other:
        rest, here = (url.base_url.partition("//")[2] for url in (other, emulator))
        url = target.format(other=other.base_url, rest=rest, here=here)
        emulator.inject(Fault("redirect_other_origin", url=url))
        with client_for(emulator) as client, pytest.raises(ForeignRedirect) as caught:
            read(client)
        assert not any(record.authorized for record in other.requests)
        assert other.requests == []
    assert caught.value.exit_code == 3
    assert (here if "https" in url else rest) in str(caught.value)


def test_circular_redirects_raise_an_error(emulator):
    emulator.inject(Fault("redirect_same_origin", times=100))
    with client_for(emulator) as client, pytest.raises(SourceError, match="redirects too many times"):
        read(client)
    assert 1 < len(emulator.requests) < 20


@pytest.mark.parametrize("concurrency, least, most", [(1, 0.8, 0.8 + SLACK), (4, 0.2, 0.75)])
def test_threads_share_a_client_and_its_connections(emulator, concurrency, least, most):
    emulator.behaviour.latency = 0.1
    with client_for(emulator, concurrency=concurrency) as client:
        with concurrent.futures.ThreadPoolExecutor(8) as pool, timed(least, most):
            sizes = list(pool.map(lambda limit: len(read(client, limit).records), range(1, 9)))
        assert client.requests == 8
    assert sizes == list(range(1, 9))


def test_only_the_thread_of_a_request_touches_its_connection(emulator, monkeypatch):
    """Closed by another thread, its file descriptor might already be that of another connection."""
    foreign: list[str] = []
    users: dict[httpcore.HTTPConnection, int] = {}

    def watched(name: str) -> None:
        whole = getattr(httpcore.HTTPConnection, name)

        def watch(connection: httpcore.HTTPConnection, *arguments: object) -> object:
            if name == "handle_request":
                users[connection] = threading.get_ident()
            elif not connection.is_idle() and users[connection] != threading.get_ident():
                foreign.append(name)
            return whole(connection, *arguments)

        monkeypatch.setattr(httpcore.HTTPConnection, name, watch)

    for name in ("handle_request", "has_expired", "close"):
        watched(name)
    emulator.behaviour.latency = 0.05
    with client_for(emulator, concurrency=4) as client, concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: read(client), range(12)))
        emulator.behaviour.latency = 1.0
        in_progress = [pool.submit(read, client) for _ in range(3)]
        time.sleep(0.1)
        client.close()
    assert all(isinstance(each.exception(), Stopped) for each in in_progress)
    assert foreign == []
    assert 1 < len(users) <= 4


def test_a_client_closed_under_a_request_ends_it_and_keeps_no_connection(emulator):
    has_come, may_go_on = threading.Event(), threading.Event()

    def hold(_request: object) -> None:
        has_come.set()
        may_go_on.wait(5)

    client = client_for(emulator)
    emulator.behaviour.before_request = hold
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(read, client)
        has_come.wait(5)
        with timed(0, SLACK):
            client.close()
            with pytest.raises(Stopped):
                asked.result()
        may_go_on.set()
    with warnings.catch_warnings(record=True, category=ResourceWarning, action="always") as unclosed:
        del client
        gc.collect()
    assert not unclosed


@pytest.mark.parametrize(
    "body, words",
    [
        (rb'{"error":"a\u0000b\u001b[31m\r\nc\ud83d\ude00"}', "a b [31m c😀"),
        (rb'{"message":"no","request_id":"1"}', "no"),
        (rb'{"error":null,"detail":["x"]}', "['x']"),
        (b'{"error":"' + b"long " * 100 + b'"}', "long " * 40),
        (b"[1]", ""),
        (b'{"error":' + b"[" * 5000, ""),
        (b'{"error":' + b"9" * 5000 + b"}", ""),
        (b"<h1>no</h1>", ""),
        (b"\xff\xfe", ""),
        (b"", ""),
    ],
)
def test_the_servers_message_is_one_printable_line(body, words):
    def refuse(peer: socket.socket, _is_over: threading.Event) -> None:
        peer.sendall(b"HTTP/1.1 400 No\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with raw_server(refuse) as url, Client(Secret("1$a"), url) as client:
        with pytest.raises(RequestRefused) as caught:
            read(client)
        assert str(caught.value) == f"the API refused {TASKS} (HTTP 400)" + (f": {words}" if words else "")


def test_proxy_from_environment_is_used(emulator, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", emulator.base_url)
    with Client(Secret(emulator.api_key), "http://nowhere.invalid") as client:
        assert len(read(client).records) == 30


@pytest.mark.parametrize(
    "variable, value",
    [
        ("HTTPS_PROXY", "gopher://u:canary-password@127.0.0.1"),
        ("HTTPS_PROXY", "http://u:canary-password@127.0.0.1:canary"),
        ("ALL_PROXY", "socks5://u:canary-password@127.0.0.1:1080"),
        ("SSL_CERT_FILE", "/nowhere/canary-password"),
    ],
)
def test_invalid_network_variables_are_configuration_errors(monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(ConfigurationError, match=variable) as caught:
        Client(Secret("1$a"))
    assert "canary" not in str(caught.value)
    assert ("[socks]" in str(caught.value)) is value.startswith("socks")
    assert caught.value.__cause__ is None


def test_page_of_one_invalid_record_is_retried_once_and_returned_raw(emulator):
    emulator.world.add_raw("00000000-0000-4000-8000-000000000001", b'{"task_id":"x","a":[1}')
    emulator.behaviour = Behaviour()
    with client_for(emulator) as client:
        page = read(client, limit=1)
        assert client.requests == 2
    assert [record.raw for record in page.records] == [b'{"task_id":"x","a":[1}']


def test_the_emulator_survives_a_client_that_disconnects_before_a_reset():
    with serve(a_world(3), Behaviour(latency=0.02)) as emulator, client_for(emulator) as client:
        emulator.inject(Fault("reset_mid_body"))
        with socket.create_connection(("127.0.0.1", emulator.port)) as peer:
            peer.sendall(f"GET {TASKS} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert peer.recv(20).startswith(b"HTTP/1.1 ")
        for _ in range(5):
            read(client)
