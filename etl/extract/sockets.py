"""
Sockets for httpcore on which no wait outlasts a deadline, or a stop by more than a tenth of a second.

httpcore limits the time of each read, not their sum: with a byte now and then, a response could take
forever. It leaves the network to a `NetworkBackend`. The one here checks the clock and the stop in everything
that may wait: name resolution, each of several addresses, TLS, a proxy's response, headers and body. It is
the same with and without a proxy.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import selectors
import socket
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

import httpcore

from etl.extract.daemon_pool import DaemonPool, await_result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from etl.stop import Stop

T = TypeVar("T")

_CHUNK = 64 * 1024
# How often a wait checks the stop.
_SLICE_SECONDS = 0.1
# The response of a server that expects TLS to a request without it: an alert, in a record of any version.
_TLS_ALERT = b"\x15\x03"


class OfThread(threading.local):
    """
    The state of the request that a thread is sending.

    After a failure, `peer_is_proxy` and `heard_tls` tell who the peer was, and whether it responded in TLS.
    """

    deadline = 0.0
    peer_is_proxy = heard_tls = False
    opened: Stream | None = None


class Backend(httpcore.NetworkBackend):
    """Opens connections; no operation on one waits beyond the deadline of the thread that uses it."""

    def __init__(self, proxy_scheme: str | None, stop: Stop) -> None:
        self.proxy_scheme = proxy_scheme
        self.of_thread = OfThread()
        self._stop = stop

    def begin(self, deadline: float) -> None:
        """Begin a request of this thread; the deadline is on the monotonic clock."""
        self.of_thread.deadline, self.of_thread.opened = deadline, None
        self.of_thread.peer_is_proxy, self.of_thread.heard_tls = self.proxy_scheme is not None, False

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 - never given
        socket_options: Any = None,  # noqa: ANN401, ARG002 - the same
    ) -> httpcore.NetworkStream:
        """Connect to the first address of a host that responds; each gets its share of the time."""
        with _translated(httpcore.ConnectTimeout, httpcore.ConnectError):
            end = time.monotonic() + self.left(timeout)
            addresses = self._resolve(host.strip("[]"), port, end)
            while True:
                family, kind, protocol, _, address = addresses.pop(0)
                share = (end - time.monotonic()) / (len(addresses) + 1)
                try:
                    sock = self._connect(family, kind, protocol, address, share)
                except OSError:
                    if not addresses:
                        raise
                else:
                    return Stream(sock, self, is_to_proxy=self.proxy_scheme is not None)

    def abandon(self) -> None:
        """Close the connection that this thread's request has opened, if any."""
        if self.of_thread.opened is not None:
            self.of_thread.opened.close()

    def left(self, timeout: float | None) -> float:
        """Return how many seconds an operation may take. Raises TimeoutError if none are left."""
        self._stop.check()
        left = self.of_thread.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left if timeout is None else min(timeout, left)

    def wait_for(self, attempt: Callable[[float], T], seconds: float) -> T:
        """
        Return what `attempt(timeout)` returns, called again after each TimeoutError until `seconds` are over.

        In between, raise Stopped if the run is told to stop.
        """
        end = time.monotonic() + seconds
        while True:
            self._stop.check()
            try:
                return attempt(max(0.001, min(_SLICE_SECONDS, end - time.monotonic())))
            except TimeoutError as error:
                # One with a number is the system's, for a connection that has failed.
                if error.errno is not None or time.monotonic() >= end:
                    raise

    def _resolve(self, host: str, port: int, end: float) -> list[Any]:
        """Return a host's addresses; the system's resolver may take minutes, so it runs in a thread."""
        with contextlib.suppress(socket.gaierror):
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        with DaemonPool(1) as pool:
            future = pool.submit(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            return await_result(future, end, self._stop)

    def _connect(self, family: int, kind: int, protocol: int, address: Any, seconds: float) -> socket.socket:  # noqa: ANN401
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                sock.connect(address)
            self.wait_for(functools.partial(_await_writable, sock), seconds)
            _raise_failure(sock)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            sock.close()
            raise
        return sock


class Stream(httpcore.NetworkStream):
    """A connected socket, plain or encrypted."""

    def __init__(self, sock: socket.socket, backend: Backend, *, is_to_proxy: bool) -> None:
        self._socket, self._backend, self._is_to_proxy = sock, backend, is_to_proxy
        backend.of_thread.opened = self

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the bytes that have arrived, at least one unless the connection has ended."""
        with _translated(httpcore.ReadTimeout, httpcore.ReadError):
            data = self._wait(lambda: self._socket.recv(max_bytes), timeout)
        self._backend.of_thread.heard_tls = not self.is_encrypted and data.startswith(_TLS_ALERT)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it."""
        with _translated(httpcore.WriteTimeout, httpcore.WriteError):
            while buffer:
                sent = self._wait(functools.partial(self._socket.send, buffer), timeout)
                buffer = buffer[sent:]

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Return the encrypted connection, after the certificate has been verified."""
        # The first TLS connection to an https proxy is with the proxy, any other with the API.
        self._is_to_proxy = self._backend.proxy_scheme == "https" and not self.is_encrypted
        host = (server_hostname or "").strip("[]")
        with _translated(httpcore.ConnectTimeout, httpcore.ConnectError):
            if self.is_encrypted:
                return _InnerTls(self, ssl_context.wrap_bio, host, timeout)
            sock = ssl_context.wrap_socket(self._socket, server_hostname=host, do_handshake_on_connect=False)
            encrypted = Stream(sock, self._backend, is_to_proxy=self._is_to_proxy)
            encrypted.shake_hands(timeout)
            return encrypted

    def shake_hands(self, timeout: float | None) -> None:
        """Complete the TLS handshake."""
        assert isinstance(self._socket, ssl.SSLSocket)  # noqa: S101 - for the type checker
        self._wait(self._socket.do_handshake, timeout)

    @property
    def is_encrypted(self) -> bool:
        """Whether the socket uses TLS."""
        return isinstance(self._socket, ssl.SSLSocket)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401
        """Return what httpcore asks for: the TLS connection, and whether an idle one has been closed."""
        if info == "ssl_object" and self.is_encrypted:
            return self._socket
        if info == "is_readable":
            return _is_readable(self._socket)
        return None

    def _wait(self, call: Callable[[], T], timeout: float | None) -> T:
        self._backend.of_thread.peer_is_proxy = self._is_to_proxy

        def attempt(seconds: float) -> T:
            self._socket.settimeout(seconds)
            return call()

        return self._backend.wait_for(attempt, self._backend.left(timeout))


class _InnerTls(httpcore.NetworkStream):
    """TLS inside the TLS connection to a proxy; the standard library supports it only through buffers."""

    def __init__(
        self, outer: Stream, wrap: Callable[..., ssl.SSLObject], host: str, timeout: float | None
    ) -> None:
        self._outer, self._incoming, self._outgoing = outer, ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = wrap(self._incoming, self._outgoing, server_hostname=host)
        self._run(self._tls.do_handshake, timeout)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _translated(httpcore.ReadTimeout, httpcore.ReadError):
            try:
                data: bytes = self._run(functools.partial(self._tls.read, max_bytes), timeout)
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _translated(httpcore.WriteTimeout, httpcore.WriteError):
            while buffer:
                sent: int = self._run(functools.partial(self._tls.write, buffer), timeout)
                buffer = buffer[sent:]

    def close(self) -> None:
        self._outer.close()

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401
        return self._tls if info == "ssl_object" else self._outer.get_extra_info(info)

    def _run(self, call: Callable[[], Any], timeout: float | None) -> Any:  # noqa: ANN401
        while True:
            try:
                result = call()
            except ssl.SSLWantReadError:
                self._flush(timeout)
                if data := self._outer.read(_CHUNK, timeout):
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            else:
                self._flush(timeout)
                return result

    def _flush(self, timeout: float | None) -> None:
        if data := self._outgoing.read():
            self._outer.write(data, timeout)


@contextlib.contextmanager
def _translated(timeout: type[Exception], other: type[Exception]) -> Iterator[None]:
    """Raise socket errors as httpcore's, with the original as their argument."""
    try:
        yield
    except TimeoutError as error:
        raise timeout(error) from error
    except OSError as error:
        raise other(error) from error


def _await_writable(sock: socket.socket, seconds: float) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_WRITE)
        if not selector.select(seconds):
            raise TimeoutError


def _raise_failure(sock: socket.socket) -> None:
    if error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(error, os.strerror(error))


def _is_readable(sock: socket.socket) -> bool:
    """Return whether bytes have arrived; on an idle connection that means that the server has closed it."""
    try:
        if not hasattr(select, "poll"):  # Windows
            return bool(select.select([sock], [], [], 0)[0])
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    except ValueError:  # it has been closed here
        return True
