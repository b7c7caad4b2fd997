"""Proxies, and TLS with a private CA, as in company networks."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TIMEOUT_SECONDS = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class Authority:
    """A CA, and the path of its certificate."""

    ca: trustme.CA
    path: Path

    @classmethod
    def make(cls, folder: Path) -> Authority:
        """Return a new CA, with its certificate in this folder."""
        ca = trustme.CA()
        path = folder / "company-ca.pem"
        ca.cert_pem.write_to_path(path)
        return cls(ca, path)

    def context(self, *names: str, **options: object) -> ssl.SSLContext:
        """Return the context of a server with a certificate for these names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*(names or ("127.0.0.1", "localhost")), **options).configure_cert(context)  # type: ignore[arg-type]
        return context


@contextlib.contextmanager
def secured(peer: socket.socket, context: ssl.SSLContext | None) -> Iterator[socket.socket]:
    """Yield a server's end of a connection, after the TLS handshake if there is a context; then close it."""
    with peer:
        if context is None:
            yield peer
            return
        with context.wrap_socket(peer, server_side=True) as inner:
            yield inner


@contextlib.contextmanager
def listening(talk: Callable[[socket.socket], None], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Call `talk` with each connection, on a thread of its own; yield the port."""

    def serve(peer: socket.socket) -> None:
        peer.settimeout(TIMEOUT_SECONDS)
        with contextlib.suppress(OSError), secured(peer, context) as inner:
            talk(inner)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextlib.contextmanager
def tls_front(port: int, context: ssl.SSLContext) -> Iterator[str]:
    """Serve another port over TLS; yield the URL."""

    def talk(peer: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS) as server:
            relay(peer, server)

    with listening(talk, context) as front:
        yield f"https://127.0.0.1:{front}"


@dataclasses.dataclass(slots=True)
class HttpProxy:
    """An HTTP proxy, which forwards requests and tunnels TLS; use `serve`."""

    user: str = ""
    refuses_with: str = ""
    drips: bool = False
    fails: int = 0  # the number of tunnels that end immediately
    heads: list[bytes] = dataclasses.field(default_factory=list)

    @contextlib.contextmanager
    def serve(self, context: ssl.SSLContext | None = None) -> Iterator[int]:
        """Yield its port."""
        with listening(self._talk, context) as port:
            yield port

    def _talk(self, peer: socket.socket) -> None:
        head = read_head(peer)
        self.heads.append(head)
        method, target, _ = head.split(b" ", 2)
        wanted = b"Proxy-Authorization: Basic " + base64.b64encode(self.user.encode())
        if self.drips:
            drip(peer)
        elif self.user and wanted.lower() not in head.lower():
            peer.sendall(
                b"HTTP/1.1 407 Authenticate\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"
            )
        elif self.refuses_with:
            peer.sendall(f"HTTP/1.1 {self.refuses_with}\r\nContent-Length: 0\r\n\r\n".encode())
        elif method == b"CONNECT" and len(self.heads) <= self.fails:
            peer.sendall(b"HTTP/1.1 200 Established\r\n\r\n")
        elif method == b"CONNECT":
            with connect(target.decode()) as server:
                peer.sendall(b"HTTP/1.1 200 Established\r\n\r\n")
                relay(peer, server)
        else:
            host = target.split(b"/")[2].decode()
            with connect(host) as server:
                server.sendall(head.replace(b"http://" + host.encode(), b"", 1))
                relay(peer, server)


@dataclasses.dataclass(slots=True)
class SocksProxy:
    """A SOCKS5 proxy, like `ssh -D`; use `serve`."""

    user: str = ""
    reply: int = 0
    targets: list[str] = dataclasses.field(default_factory=list)

    @contextlib.contextmanager
    def serve(self, context: ssl.SSLContext | None = None) -> Iterator[int]:
        """Yield its port."""
        with listening(self._talk, context) as port:
            yield port

    def _talk(self, peer: socket.socket) -> None:
        method = 2 if self.user else 0
        offered = read_exactly(peer, read_exactly(peer, 2)[1])
        peer.sendall(bytes([5, method if method in offered else 255]))
        if method not in offered:
            return
        if self.user:
            name = read_exactly(peer, read_exactly(peer, 2)[1])
            password = read_exactly(peer, read_exactly(peer, 1)[0])
            is_right = f"{name.decode()}:{password.decode()}" == self.user
            peer.sendall(bytes([1, 0 if is_right else 1]))
            if not is_right:
                return
        *_, kind = read_exactly(peer, 4)
        host = (
            socket.inet_ntoa(read_exactly(peer, 4))
            if kind == 1
            else read_exactly(peer, read_exactly(peer, 1)[0]).decode()
        )
        target = f"{host}:{int.from_bytes(read_exactly(peer, 2))}"
        self.targets.append(target)
        peer.sendall(bytes([5, self.reply, 0, 1, 0, 0, 0, 0, 0, 0]))
        if not self.reply:
            with connect(target) as server:
                relay(peer, server)


def connect(target: str) -> socket.socket:
    """Connect to `host:port`."""
    host, _, port = target.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), TIMEOUT_SECONDS)


def read_head(peer: socket.socket) -> bytes:
    """Return the head of a request without a body."""
    head = b""
    while b"\r\n\r\n" not in head:
        received = peer.recv(65536)
        if not received:
            raise ConnectionError
        head += received
    return head


def read_exactly(peer: socket.socket, size: int) -> bytes:
    """Return exactly `size` bytes."""
    data = b""
    while len(data) < size:
        received = peer.recv(size - len(data))
        if not received:
            raise ConnectionError
        data += received
    return data


def drip(
    peer: socket.socket, byte: bytes = b"X", times: int = 400, start: bytes = b"HTTP/1.1 200 OK\r\n"
) -> None:
    """Send an endless head, byte by byte, until the client disconnects."""
    peer.sendall(start)
    is_over = threading.Event()
    for _ in range(times):
        is_over.wait(0.02)
        peer.sendall(byte)


def relay(one: socket.socket, other: socket.socket) -> None:
    """Copy data between two connections, in both directions, until one of them is closed."""

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    thread = threading.Thread(target=pump, args=(one, other), daemon=True)
    thread.start()
    pump(other, one)
    thread.join()
