"""Clients for an emulator, servers with raw responses, and a timer."""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.networks import secured

from etl.extract.client import Client
from etl.extract.retry import Backoff
from etl.secret import Secret

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from etl.emulator import Emulator
    from etl.errors import EtlError
    from etl.extract.payload import Page

TASKS = "/streaming/ai/tasks"
# Retries follow at once.
QUICK = Backoff(first=0.01)
# What a test allows for a busy machine.
SLACK = 5.0


def client_for(
    emulator: Emulator, *, retry_for: float = 5, backoff: Backoff = QUICK, **options: Any
) -> Client:
    """Return a client that retries at once, and gives up soon."""
    return Client(
        Secret(emulator.api_key),
        emulator.base_url,
        retry_for=dt.timedelta(seconds=retry_for),
        backoff=backoff,
        **options,
    )


def read(client: Client, limit: int = 50) -> Page:
    """Return the first page."""
    return client.fetch_page({"ordering": "task_id"}, page=1, limit=limit)


@contextlib.contextmanager
def timed(at_least: float, at_most: float) -> Iterator[None]:
    """Assert that the block takes a number of seconds in this range."""
    start = time.monotonic()
    yield
    assert at_least <= time.monotonic() - start < at_most


def arrivals(emulator: Emulator) -> list[float]:
    """Return a list to which the time of each request is appended."""
    moments: list[float] = []
    emulator.behaviour.before_request = lambda _request: moments.append(time.monotonic())
    return moments


@contextlib.contextmanager
def raw_server(
    answer: Callable[[socket.socket, threading.Event], None], context: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Serve what `answer` writes to each connection; its event is set when the block ends."""
    is_over = threading.Event()

    def talk(peer: socket.socket) -> None:
        with contextlib.suppress(OSError), secured(peer, context) as inner:
            inner.recv(65536)
            answer(inner, is_over)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while not is_over.is_set():
                threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"{'https' if context else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            is_over.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def says(
    body: bytes = b'{"count":0,"next":null,"previous":null,"results":[]}',
    status: int = 200,
    *headers: str,
    kind: str = "application/json",
) -> Callable[[socket.socket, threading.Event], None]:
    """Return an `answer` for `raw_server` that sends the same response to every request and closes."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers]
    head = "\r\n".join([*lines, "Connection: close", "", ""]).encode()

    def answer(peer: socket.socket, _is_over: threading.Event) -> None:
        peer.sendall(head + body)

    return answer


@contextlib.contextmanager
def full_server() -> Iterator[tuple[str, int]]:
    """Yield the address of a server that accepts no more connections, and does not refuse them either."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # as many as fit into the queue, and a few more
            caller = stack.enter_context(socket.socket())
            caller.settimeout(0)
            caller.connect_ex(full.getsockname())
        yield full.getsockname()


def client_at(
    url: str, *, retry_for: float = 0.4, key: str = "1$abcdef", backoff: Backoff = QUICK, **options: Any
) -> Client:
    """Return a client that retries at once, and gives up at once."""
    return Client(Secret(key), url, retry_for=dt.timedelta(seconds=retry_for), backoff=backoff, **options)


def refused_once(client: Client, error: type[EtlError], *words: str) -> str:
    """Assert that a request fails at once, with exit code 3 and these words; return the message."""
    with timed(0, SLACK), pytest.raises(error) as caught:
        read(client)
    line = str(caught.value)
    assert type(caught.value) is error
    assert caught.value.exit_code == 3
    assert caught.value.__cause__ is None
    assert client.requests == 1
    assert all(word in line for word in words), line
    assert "\n" not in line
    return line
