"""
Connections on which no answer outlasts the time allowed for it.

httpx bounds each read, not their sum: with a byte now and then, the head of an answer could take for ever.
"""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Any

import httpcore
import httpx

if TYPE_CHECKING:
    import ssl


class BoundedTransport(httpx.HTTPTransport):
    """
    The transport of httpx, with a `deadline` among the extensions of each request.

    It is on the monotonic clock, and holds until the answer is read, in the thread that asked.
    """

    def __init__(self, limits: httpx.Limits) -> None:
        context = httpx.create_ssl_context()
        super().__init__(verify=context, limits=limits)
        self._allowed = _Allowed()
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_Backend(self._allowed),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it, and start reading the answer."""
        self._allowed.until = request.extensions["deadline"]
        return super().handle_request(request)


class _Allowed(threading.local):
    until = math.inf


class _Backend(httpcore.SyncBackend):
    def __init__(self, allowed: _Allowed) -> None:
        self._allowed = allowed

    def connect_tcp(self, *arguments: Any, **options: Any) -> httpcore.NetworkStream:  # noqa: ANN401
        return _Stream(super().connect_tcp(*arguments, **options), self._allowed)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, allowed: _Allowed) -> None:
        self._stream, self._allowed = stream, allowed

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = self._allowed.until - time.monotonic()
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
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._allowed)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401
        return self._stream.get_extra_info(info)
