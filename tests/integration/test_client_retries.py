"""Retries of the client on a real socket: what is retried, how long it waits, and when it gives up."""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import logging
import socket
from typing import TYPE_CHECKING

import pytest
from support.clients import SLACK, arrivals, client_at, client_for, full_server, raw_server, read, timed
from support.worlds import NOW, a_world

from etl.emulator import Fault, serve
from etl.errors import CredentialsRefused, Unreachable
from etl.extract.response import parse_retry_after
from etl.extract.retry import Backoff

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from etl.emulator import Emulator
    from etl.extract.client import Client


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with serve(a_world(30)) as emulator:
        yield emulator


def read_detail(emulator: Emulator, client: Client) -> object:
    return client.fetch_detail(min(emulator.world.tasks))


PASSING = (
    "reset", "reset_mid_body", "wrong_length", "truncated_json", "html_200", "not_json", "trailing_garbage",
    "408", "425", "429_seconds", "429_date", "429_bare", "500", "502_html", "503", "slow",
)  # fmt: skip


@pytest.mark.parametrize("kind", PASSING)
def test_a_transient_failure_is_retried(emulator, caplog, kind):
    fault = {"seconds": 2 if kind == "slow" else 0, "times": 2}
    with client_for(emulator, read_timeout=0.15) as client:
        emulator.inject(Fault(kind, match="list", **fault))
        ids = [record.task_id for record in read(client).records]
        assert ids == sorted(emulator.world.tasks)
        emulator.inject(Fault(kind, match="detail", **fault))
        read_detail(emulator, client)
        assert client.requests == len(emulator.requests) == 6
    assert len(caplog.messages) == 4
    assert all("trying again in" in message for message in caplog.messages)


def test_server_that_starts_late_is_retried():
    with socket.socket() as reserved, contextlib.ExitStack() as stack:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]

        class Start(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                assert "refused" in record.getMessage()
                reserved.close()
                stack.enter_context(serve(a_world(3), port=port))
                logger.removeHandler(self)

        logger = logging.getLogger("etl.extract.retry")
        logger.addHandler(Start())
        with client_at(f"http://127.0.0.1:{port}", retry_for=5) as client, pytest.raises(CredentialsRefused):
            read(client)
    assert client.requests == 2


@pytest.mark.parametrize("kind", ["429_seconds", "429_date"])
def test_a_retry_after_header_is_obeyed(emulator, kind):
    """A date is read against the server's clock, months before this machine's."""
    moments = arrivals(emulator)
    emulator.inject(Fault(kind, seconds=1))
    with client_for(emulator) as client:
        read(client)
    assert 1 <= moments[1] - moments[0] < 1 + SLACK


def test_waits_grow_without_retry_after_header(emulator):
    moments = arrivals(emulator)
    emulator.inject(Fault("429_bare", times=4))
    with client_for(emulator, backoff=Backoff(first=0.05)) as client:
        read(client)
    waits = [after - before for before, after in itertools.pairwise(moments)]
    assert all(wait >= least for wait, least in zip(waits, (0.025, 0.05, 0.1, 0.2), strict=True))
    assert sum(waits) < 0.05 + 0.1 + 0.2 + 0.4 + SLACK


@pytest.mark.parametrize(
    "header, seconds",
    [
        (None, None),
        ("0", 0),
        (" 120 ", 120),
        ("Fri, 26 Jun 2026 12:00:30 GMT", 30),
        ("Fri, 26 Jun 2026 14:00:30 +0200", 30),
        ("Fri, 26 Jun 2026 12:00:30", 30),
        ("Fri, 26 Jun 2026 11:59:30 GMT", 0),
        ("-1", None),
        ("1.5", None),
        ("", None),
        ("soon", None),
        ("٣", None),
        ("Fri, 26 Jun 20260 12:00:00 GMT", None),
        ("Fri, 26 Jun 99999999999999999999 12:00:00 GMT", None),
        ("Fri, 26 Jun 2026 12:00:00 +99999999999999999", None),
    ],
)
def test_retry_after_is_parsed_in_both_forms_and_ignored_otherwise(header, seconds):
    assert parse_retry_after(header, NOW) == seconds


def test_a_huge_retry_after_is_parsed():
    assert parse_retry_after("9" * 5000, NOW) > 1e8
    assert parse_retry_after("Fri, 31 Dec 9999 23:59:59 -1400", NOW) > 1e8


@pytest.mark.parametrize("kind", ["503", "reset", "html_200", "429_seconds"])
def test_retries_end_after_retry_for(emulator, kind):
    emulator.inject(Fault(kind, times=10_000, seconds=0))
    with client_for(emulator, retry_for=0.4) as client, timed(0, 0.4 + SLACK):
        with pytest.raises(Unreachable, match=r"gave up after attempt \d+; --retry-for") as caught:
            read(client)
        assert caught.value.exit_code == 1
        assert client.requests > 1


def test_wait_longer_than_retry_for_is_not_started(emulator):
    emulator.inject(Fault("429_seconds", times=9, seconds=3600))
    with client_for(emulator, retry_for=60) as client, timed(0, SLACK):
        with pytest.raises(Unreachable, match=r"HTTP 429.*asks to wait 3600 s"):
            read(client)
        assert client.requests == 1


def trickle(peer: socket.socket, is_over: threading.Event, byte: bytes) -> None:
    """Send single bytes for much longer than the client should wait."""
    for _ in range(400):
        if is_over.wait(0.02):
            return
        peer.sendall(byte)


def drip_head(peer: socket.socket, is_over: threading.Event) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    trickle(peer, is_over, b"x")


def drip_body(peer: socket.socket, is_over: threading.Event) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    trickle(peer, is_over, b" ")


def drip_gzip(peer: socket.socket, is_over: threading.Event) -> None:
    """Send an endless file name in the gzip header, so that decompression never returns a byte."""
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08\0\0\0\0\0\x03")
    trickle(peer, is_over, b"x")


def drip_nothing(_peer: socket.socket, is_over: threading.Event) -> None:
    is_over.wait(8)


@pytest.mark.parametrize("drip", [drip_head, drip_body, drip_gzip, drip_nothing])
def test_endlessly_slow_response_times_out(drip, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "example.com")
    with raw_server(drip) as url, client_at(url) as client:
        with (
            timed(0.3, 0.4 + SLACK),
            pytest.raises(Unreachable, match=r"timed out while waiting for a response|too slowly"),
        ):
            read(client)
        assert client.requests == 1


def test_a_response_that_does_not_match_its_encoding_is_retried():
    def mislead(peer: socket.socket, _is_over: threading.Event) -> None:
        peer.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 14\r\n\r\n" + b'{"results":[]}'
        )

    with (
        raw_server(mislead) as url,
        client_at(url) as client,
    ):
        with pytest.raises(Unreachable, match="decompress"):
            read(client)
        assert client.requests > 1


def test_connection_that_is_never_accepted_times_out():
    with (
        full_server() as (host, port),
        client_at(f"http://{host}:{port}") as client,
        timed(0.3, 0.4 + SLACK),
        pytest.raises(Unreachable, match="timed out while connecting"),
    ):
        read(client)


def test_concurrent_responses_are_not_lost_or_mixed_up(emulator):
    emulator.inject(*(Fault(kind, times=2, after=10) for kind in ("500", "reset_mid_body", "truncated_json")))
    ids = sorted(emulator.world.tasks) * 4
    with client_for(emulator, concurrency=8) as client:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            found = list(pool.map(client.fetch_detail, ids))
        assert client.requests == len(emulator.requests) == len(ids) + 6
    assert [detail.task.task_id for detail in found] == ids


def test_requests_start_no_faster_than_the_rate(emulator):
    moments = arrivals(emulator)
    with client_for(emulator, max_rate=20) as client, concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: read(client), range(6)))
    assert max(moments) - min(moments) >= 5 / 20 - 0.03


def test_rate_limiter_wait_does_not_count_towards_retry_for(emulator):
    emulator.behaviour.latency = 0.15
    with client_for(emulator, max_rate=4, retry_for=0.4) as client:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            pages = list(pool.map(lambda _: read(client), range(4)))
        assert client.requests == 4
    assert {len(page.records) for page in pages} == {30}
