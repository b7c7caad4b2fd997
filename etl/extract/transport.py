"""
Connections that serve one thread at a time, and on which no answer outlasts the time allowed for it.

httpx bounds each read, not their sum: with a byte now and then, the head of an answer could take for ever.
Its pool may be shared by threads, but closing it under one that still reads is a race; here whoever used a
connection last closes it.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from typing import TYPE_CHECKING, Any

import httpcore

from etl.extract.lean_httpx import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

KEEPALIVE_SECONDS = 5.0


class Sessions:
    """At most so many clients of httpx, each used by one thread at a time."""

    def __init__(self, open_session: Callable[[], httpx.Client], most: int) -> None:
        self._open = open_session
        self._free = threading.Semaphore(most)
        self._is_closed = False
        # The first is opened at once: a proxy that cannot be used is known from the start.
        self._idle = [open_session()]

    @contextlib.contextmanager
    def borrow(self, timeout: float) -> Iterator[httpx.Client]:
        """Give one to this thread alone. Raises httpx.PoolTimeout if none is free in so many seconds."""
        if not self._free.acquire(timeout=timeout):
            raise httpx.PoolTimeout("")
        try:
            session = self._take() or self._open()
            try:
                yield session
            finally:
                self._idle.append(session)
        finally:
            self._free.release()
            if self._is_closed:
                self.close()

    def close(self) -> None:
        """Close those that are idle; one in use is closed when it is given back."""
        self._is_closed = True
        while session := self._take():
            session.close()

    def _take(self) -> httpx.Client | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None


class BoundedTransport(httpx.HTTPTransport):
    """
    The transport of httpx for one thread at a time, with a `deadline` among the extensions of each request.

    It is on the monotonic clock, and holds until the answer is read.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(verify=context)
        self._backend = _Backend()
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=1,
            keepalive_expiry=KEEPALIVE_SECONDS,
            network_backend=self._backend,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it, and start reading the answer."""
        self._backend.deadline = request.extensions["deadline"]
        return super().handle_request(request)


class _Backend(httpcore.SyncBackend):
    deadline = math.inf

    def connect_tcp(self, *arguments: Any, **options: Any) -> httpcore.NetworkStream:  # noqa: ANN401
        return _Stream(super().connect_tcp(*arguments, **options), self)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, backend: _Backend) -> None:
        self._stream, self._backend = stream, backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = self._backend.deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout
        return self._stream.read(max_bytes, left if timeout is None else min(timeout, left))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._backend)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401
        return self._stream.get_extra_info(info)
