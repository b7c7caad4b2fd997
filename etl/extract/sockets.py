"""
The sockets of httpcore, on which no wait outlasts a deadline, or a stop by more than a moment.

httpcore limits the time of each read, not their sum: with a byte now and then, a response could take
forever. It leaves the network to a `NetworkBackend`. The one here adds the deadline and the stop to the
sockets of httpcore's own backend. What cannot be divided into short waits, which is the resolution of a name,
connecting, and a TLS handshake, runs on a thread of its own. It is the same with and without a proxy.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any

import httpcore

from etl.extract.daemon_pool import DaemonPool, await_result

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from etl.stop import Stop

# How often a wait checks the stop.
_SLICE_SECONDS = 0.1
# The response of a server that expects TLS to a request without it: an alert, in a record of any version.
_TLS_ALERT = b"\x15\x03"


class RequestState(threading.local):
    """
    The state of the request that a thread is sending.

    After a failure, `peer_is_proxy` and `heard_tls` show who the peer was, and whether it responded in TLS.
    """

    deadline = 0.0
    peer_is_proxy = heard_tls = False
    opened: Stream | None = None


class Backend(httpcore.NetworkBackend):
    """Opens connections; no operation on one waits beyond the deadline of the thread that uses it."""

    def __init__(self, proxy_scheme: str | None, stop: Stop) -> None:
        self.proxy_scheme = proxy_scheme
        self.request_state = RequestState()
        self.stop = stop

    def begin(self, deadline: float) -> None:
        """Begin a request of this thread; the deadline is on the monotonic clock."""
        self.request_state.deadline, self.request_state.opened = deadline, None
        self.request_state.peer_is_proxy, self.request_state.heard_tls = self.proxy_scheme is not None, False

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 - never given
        socket_options: Any = None,  # noqa: ANN401, ARG002 - the same
    ) -> httpcore.NetworkStream:
        """Connect to the first address of a host that responds; each gets its share of the time."""
        connected = self.run(lambda seconds: _connect(host.strip("[]"), port, seconds), timeout)
        return Stream(connected, self, is_to_proxy=self.proxy_scheme is not None)

    def abandon(self) -> None:
        """Close the connection that this thread's request has opened, if any."""
        if self.request_state.opened is not None:
            self.request_state.opened.close()

    def acquire(self, places: threading.Semaphore) -> None:
        """Wait for one of the places for connections; raise PoolTimeout if none is free at the deadline."""
        while not places.acquire(timeout=min(_SLICE_SECONDS, self.left(None, httpcore.PoolTimeout))):
            pass

    def left(self, timeout: float | None, too_late: type[httpcore.TimeoutException]) -> float:
        """Return how many seconds an operation may take; raise the given error if none are left."""
        self.stop.check()
        left = self.request_state.deadline - time.monotonic()
        if left <= 0:
            raise too_late
        return left if timeout is None else min(timeout, left)

    def run(
        self, call: Callable[[float], httpcore.NetworkStream], timeout: float | None
    ) -> httpcore.NetworkStream:
        """
        Return what `call(seconds)` returns, which may take that long and runs on a thread of its own.

        If that comes too late or after a stop, its connection is closed instead.
        """
        seconds = self.left(timeout, httpcore.ConnectTimeout)
        with DaemonPool(1) as pool:
            future = pool.submit(lambda: call(seconds))
        try:
            return await_result(future, time.monotonic() + seconds, self.stop)
        except BaseException as error:
            future.add_done_callback(_close)
            if isinstance(error, TimeoutError):
                raise httpcore.ConnectTimeout(error) from error
            raise


class Stream(httpcore.NetworkStream):
    """A connection, plain or encrypted."""

    def __init__(self, inner: httpcore.NetworkStream, backend: Backend, *, is_to_proxy: bool) -> None:
        self._inner, self._backend, self._is_to_proxy = inner, backend, is_to_proxy
        backend.request_state.opened = self

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the bytes that have arrived, at least one unless the connection has ended."""
        self._backend.request_state.peer_is_proxy = self._is_to_proxy
        end = time.monotonic() + self._backend.left(timeout, httpcore.ReadTimeout)
        while True:
            try:
                data = self._inner.read(max_bytes, max(0.001, min(_SLICE_SECONDS, end - time.monotonic())))
            except httpcore.ReadTimeout as error:
                # One with a number is the system's, for a connection that has failed.
                if error.args[0].errno is not None or time.monotonic() >= end:
                    raise
                self._backend.stop.check()
            except httpcore.ReadError as error:
                # So httpcore reports the end of TLS inside the TLS connection to a proxy.
                if not isinstance(error.args[0], (ssl.SSLZeroReturnError, ssl.SSLEOFError)):
                    raise
                return b""
            else:
                self._backend.request_state.heard_tls = not self._is_encrypted and data.startswith(_TLS_ALERT)
                return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it: a request fits into the buffers of the system, so it hardly waits."""
        self._backend.request_state.peer_is_proxy = self._is_to_proxy
        self._inner.write(buffer, self._backend.left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        """Close the socket."""
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Return the encrypted connection, after the certificate has been verified."""
        # The first TLS connection to an https proxy is with the proxy, any other with the API.
        is_to_proxy = self._backend.proxy_scheme == "https" and not self._is_encrypted
        self._backend.request_state.peer_is_proxy = is_to_proxy
        # From now on it belongs to the thread that shakes hands, which closes it after a failure.
        self._backend.request_state.opened = None
        host = (server_hostname or "").strip("[]")
        try:
            encrypted = self._backend.run(
                lambda seconds: self._inner.start_tls(ssl_context, host, seconds), timeout
            )
        except BaseException:
            # Ends a handshake inside another TLS connection that would go on, a byte now and then.
            with contextlib.suppress(OSError):
                self.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            raise
        return Stream(encrypted, self._backend, is_to_proxy=is_to_proxy)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401
        """Return what httpcore asks for: the TLS connection, and whether an idle one has been closed."""
        return self._inner.get_extra_info(info)

    @property
    def _is_encrypted(self) -> bool:
        return self.get_extra_info("ssl_object") is not None


def _connect(host: str, port: int, seconds: float) -> httpcore.NetworkStream:
    end = time.monotonic() + seconds
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore.ConnectError(error) from error
    addresses: list[Any] = [address for *_, address in found]
    while True:
        address = addresses.pop(0)
        share = max(0.001, (end - time.monotonic()) / (len(addresses) + 1))
        try:
            return httpcore.SyncBackend().connect_tcp(address[0], address[1], share)
        except (httpcore.ConnectError, httpcore.ConnectTimeout):
            if not addresses:
                raise


def _close(future: Future[httpcore.NetworkStream]) -> None:
    if future.exception() is None:
        future.result().close()
