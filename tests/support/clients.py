"""A client pointed at an emulator, servers that speak as no emulator does, and a stop-watch."""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from etl.extract.client import Client
from etl.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from etl.emulator import Emulator
    from etl.extract.payload import Page

TASKS = "/streaming/ai/tasks"
# What a test allows for a busy machine.
SLACK = 5.0


def client_for(emulator: Emulator, *, retry_for: float = 5, **options: Any) -> Client:
    """Make a client that gives a request up soon."""
    return Client(
        Secret(emulator.api_key), emulator.base_url, retry_for=dt.timedelta(seconds=retry_for), **options
    )


def read(client: Client, limit: int = 50) -> Page:
    """Read the first page."""
    return client.fetch_page({"ordering": "task_id"}, page=1, limit=limit)


@contextlib.contextmanager
def timed(at_least: float, at_most: float) -> Iterator[None]:
    """Check that the block takes no less and no more than so many seconds."""
    start = time.monotonic()
    yield
    assert at_least <= time.monotonic() - start < at_most


def arrivals(emulator: Emulator) -> list[float]:
    """Give a list that grows by the moment of each request."""
    moments: list[float] = []
    emulator.behaviour.before_request = lambda _request: moments.append(time.monotonic())
    return moments


@contextlib.contextmanager
def raw_server(answer: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """Serve whatever `answer` writes, to each connection; its event is set when the block ends."""
    is_over = threading.Event()

    def talk(peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            peer.recv(65536)
            answer(peer, is_over)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while not is_over.is_set():
                threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            is_over.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
