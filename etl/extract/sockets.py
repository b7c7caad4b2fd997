"""
Sockets on which nothing outlasts a deadline, for httpcore to speak HTTP over.

httpcore bounds each read, not their sum: with a byte now and then, an answer could take for ever. It leaves
the network to a `NetworkBackend`, and the one here asks the clock before everything that may wait: resolving
a name, each of several addresses, TLS, what a proxy answers, the head of an answer and its body. It is the
same with and without a proxy.
"""

from __future__ import annotations

import contextlib
import functools
import select
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

import httpcore

from etl.extract.daemon_pool import DaemonPool, await_result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHUNK = 64 * 1024
# How a server begins that was spoken to without TLS and expects it: an alert, in a record of any version.
_TLS_ALERT = b"\x15\x03"


class Backend(httpcore.NetworkBackend):
    """
    Opens connections for one thread at a time, none of which waits beyond `deadline` (monotonic clock).

    `peer_is_proxy` and `heard_tls` tell, after a failure, who was spoken to and whether the answer was TLS.
    """

    def __init__(self, proxy_scheme: str | None) -> None:
        self.deadline = 0.0
        self.peer_is_proxy = self.heard_tls = False
        self.proxy_scheme = proxy_scheme
        self.stream: Stream | None = None

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 - never given
        socket_options: Any = None,  # noqa: ANN401, ARG002 - the same
    ) -> httpcore.NetworkStream:
        """Connect to the first of a host's addresses that answers; each has its share of the time."""
        self.heard_tls, self.peer_is_proxy = False, self.proxy_scheme is not None
        with _translated(httpcore.ConnectTimeout, httpcore.ConnectError):
            end = time.monotonic() + self.left(timeout)
            addresses = _resolve(host.strip("[]"), port, end)
            while True:
                family, kind, protocol, _, address = addresses.pop(0)
                share = (end - time.monotonic()) / (len(addresses) + 1)
                try:
                    return Stream(_connect(family, kind, protocol, address, share), self)
                except OSError:
                    if not addresses:
                        raise

    def abandon(self) -> None:
        """Close the connection; httpcore forgets one that fails while a proxy or TLS is spoken to."""
        if self.stream is not None:
            self.stream.close()

    def left(self, timeout: float | None) -> float:
        """Return how many seconds something may take. Raises TimeoutError if there are none left."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left if timeout is None else min(timeout, left)


class Stream(httpcore.NetworkStream):
    """A connected socket, plain or encrypted."""

    def __init__(self, sock: socket.socket, backend: Backend) -> None:
        self._socket, self._backend = sock, backend
        backend.stream = self

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what has arrived, at least a byte unless it is the end."""
        with _translated(httpcore.ReadTimeout, httpcore.ReadError):
            self._socket.settimeout(self._backend.left(timeout))
            data = self._socket.recv(max_bytes)
        self._backend.heard_tls = not self.is_encrypted and data.startswith(_TLS_ALERT)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it."""
        with _translated(httpcore.WriteTimeout, httpcore.WriteError):
            self._socket.settimeout(self._backend.left(timeout))
            self._socket.sendall(buffer)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Return the encrypted connection, once the certificate has been checked."""
        is_with_proxy = self._backend.proxy_scheme == "https" and not self.is_encrypted
        self._backend.peer_is_proxy = is_with_proxy
        host = (server_hostname or "").strip("[]")
        try:
            with _translated(httpcore.ConnectTimeout, httpcore.ConnectError):
                self._socket.settimeout(self._backend.left(timeout))
                if self.is_encrypted:
                    return _InnerTls(self, ssl_context.wrap_bio, host, timeout)
                return Stream(ssl_context.wrap_socket(self._socket, server_hostname=host), self._backend)
        except BaseException:
            self.close()
            raise

    @property
    def is_encrypted(self) -> bool:
        """Whether it is TLS already."""
        return isinstance(self._socket, ssl.SSLSocket)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401
        """Return what httpcore asks for: the TLS connection, and whether an idle one has been closed."""
        if info == "ssl_object" and self.is_encrypted:
            return self._socket
        if info == "is_readable":
            return _is_readable(self._socket)
        return None


class _InnerTls(httpcore.NetworkStream):
    """TLS inside the TLS of a proxy, which the standard library does only with buffers in between."""

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
    """Raise the errors of sockets as those of httpcore; the original is the argument."""
    try:
        yield
    except TimeoutError as error:
        raise timeout(error) from error
    except OSError as error:
        raise other(error) from error


def _resolve(host: str, port: int, end: float) -> list[Any]:
    """Return a host's addresses; the system's resolver may take minutes, and only a thread can leave it."""
    with contextlib.suppress(socket.gaierror):
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    with DaemonPool(1) as pool:
        future = pool.submit(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        return await_result(future, end)


def _connect(family: int, kind: int, protocol: int, address: Any, seconds: float) -> socket.socket:  # noqa: ANN401
    sock = socket.socket(family, kind, protocol)
    try:
        sock.settimeout(max(0.001, seconds))
        sock.connect(address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock


def _is_readable(sock: socket.socket) -> bool:
    """Return whether something has arrived; where nothing was asked, that is the end of the connection."""
    if sock.fileno() < 0:
        return True
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
