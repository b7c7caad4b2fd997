"""The API is reachable through every kind of proxy and over TLS, and the deadline applies on each route."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest
from support.clients import SLACK, client_at, full_server, raw_server, read, says, timed
from support.networks import Authority, HttpProxy, SocksProxy, drip, listening, tls_front

from etl.errors import Stopped, Unreachable
from etl.extract import sockets
from etl.stop import Stop

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator


# The environment variables, and whether the API is contacted over TLS.
WAYS = {
    "directly": ({}, False),
    "by TLS": ({}, True),
    "past a proxy": ({"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1,fd00::/8,[::1]"}, False),
    "beside another proxy": ({"HTTPS_PROXY": "http://127.0.0.1:9"}, False),
    "through a proxy": ({"HTTP_PROXY": "http://127.0.0.1:{plain}"}, False),
    "through a proxy by a bare address": ({"http_proxy": "127.0.0.1:{plain}"}, False),
    "through a tunnel": ({"HTTPS_PROXY": "http://127.0.0.1:{plain}"}, True),
    "through a proxy by TLS": ({"HTTP_PROXY": "https://localhost:{secure}"}, False),
    "through a tunnel by TLS": ({"ALL_PROXY": "https://localhost:{secure}"}, True),
    "through SOCKS": ({"ALL_PROXY": "socks5://127.0.0.1:{socks}"}, False),
    "through SOCKS by TLS": ({"HTTPS_PROXY": "socks5h://127.0.0.1:{socks}"}, True),
}


@contextlib.contextmanager
def way(name: str, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[ssl.SSLContext | None]:
    """Set up proxies and environment; yield the TLS context of the server at the end of the route."""
    environment, is_tls = WAYS[name]
    with (
        HttpProxy().serve() as plain,
        HttpProxy().serve(authority.context()) as secure,
        SocksProxy().serve() as socks,
    ):
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value.format(plain=plain, secure=secure, socks=socks))
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
        yield authority.context() if is_tls else None


@pytest.mark.parametrize("name", WAYS)
def test_api_is_reachable_through_every_route(name, authority, emulator, monkeypatch):
    with contextlib.ExitStack() as stack:
        context = stack.enter_context(way(name, authority, monkeypatch))
        url = stack.enter_context(tls_front(emulator.port, context)) if context else emulator.base_url
        client = stack.enter_context(client_at(url, retry_for=5, key=emulator.api_key))
        for _ in range(2):
            assert len(read(client).records) == 30
        assert client.requests == 2


@pytest.mark.parametrize("secure", [False, True])
def test_failed_proxy_tunnel_is_retried(secure, authority, emulator, monkeypatch):
    proxy = HttpProxy(fails=5)
    with (
        proxy.serve(authority.context() if secure else None) as port,
        tls_front(emulator.port, authority.context()) as url,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"{'https://localhost' if secure else 'http://127.0.0.1'}:{port}")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
        with client_at(url, retry_for=20, key=emulator.api_key) as client:
            assert len(read(client).records) == 30
            assert client.requests == 6 > client.concurrency
    assert len(proxy.heads) == 6


@pytest.mark.parametrize("dripping", ["head", "body", "nothing"])
@pytest.mark.parametrize("name", WAYS)
def test_deadline_applies_on_every_route(name, dripping, authority, monkeypatch):
    def answer(peer: socket.socket, is_over: threading.Event) -> None:
        if dripping == "nothing":
            is_over.wait(8)
        else:
            head = b"HTTP/1.1 200 OK\r\n" + (b"Content-Length: 9999\r\n\r\n" if dripping == "body" else b"")
            drip(peer, start=head)

    with (
        way(name, authority, monkeypatch) as context,
        raw_server(answer, context) as url,
        client_at(url) as client,
        timed(0.3, 0.4 + SLACK),
        pytest.raises(Unreachable, match="timed out while waiting for a response"),
    ):
        read(client)


@pytest.mark.parametrize("kind", ["http", "https", "socks5"])
@pytest.mark.parametrize("is_silent", [False, True])
def test_deadline_applies_to_slow_or_silent_proxy(kind, is_silent, authority, monkeypatch):
    """The proxy answers CONNECT, or the SOCKS handshake, before the API is contacted."""
    monkeypatch.setenv("HTTPS_PROXY", f"{kind}://localhost:{{}}")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    is_over = threading.Event()

    def talk(peer: socket.socket) -> None:
        if is_silent:
            is_over.wait(8)
        else:
            peer.recv(65536)
            drip(peer, start=b"HTTP/1.1 200 OK\r\nX: " if kind != "socks5" else b"\x05\x00")

    with listening(talk, authority.context() if kind == "https" else None) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"{kind}://localhost:{port}")
        with client_at("https://nowhere.invalid") as client, timed(0.0, 0.4 + SLACK):
            with pytest.raises(Unreachable, match=r"the proxy that HTTPS_PROXY names") as caught:
                read(client)
            assert is_silent is False or "timed out while waiting for a response" in str(caught.value)
        is_over.set()


def test_deadline_applies_to_tls_handshake():
    is_over = threading.Event()
    with (
        listening(lambda _peer: is_over.wait(8) and None) as port,
        client_at(f"https://127.0.0.1:{port}") as client,
        timed(0.3, 0.4 + SLACK),
        pytest.raises(Unreachable, match="timed out while connecting"),
    ):
        read(client)
    is_over.set()


def test_a_stop_ends_a_handshake_that_nobody_answers():
    is_over = threading.Event()
    with (
        listening(lambda _peer: is_over.wait(8) and None) as port,
        client_at(f"https://127.0.0.1:{port}", retry_for=60) as client,
        timed(0.3, 0.3 + SLACK),
    ):
        threading.Timer(0.3, client.stop.set).start()
        with pytest.raises(Stopped):
            read(client)
    is_over.set()


def test_deadline_applies_to_name_resolution(monkeypatch):
    is_over, resolve = threading.Event(), socket.getaddrinfo

    def hang(host: str, *arguments: object, **options: object) -> object:
        is_over.wait(8)
        return resolve(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with (
        client_at("http://api.corp.example") as client,
        timed(0.3, 0.4 + SLACK),
        pytest.raises(Unreachable, match="timed out while connecting"),
    ):
        read(client)
    is_over.set()


def test_connect_timeout_is_shared_by_all_addresses_of_host(monkeypatch):
    """As with a broken IPv6 setup and two more addresses that do not answer."""
    with full_server() as full, raw_server(says()) as url:
        good = ("127.0.0.1", int(url.rpartition(":")[2]))
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", each) for each in (full, full, full, good)]
        resolve = socket.getaddrinfo

        def several(host: str, *arguments: object, **options: object) -> object:
            return found if host == "api.corp.example" else resolve(host, *arguments, **options)

        monkeypatch.setattr(socket, "getaddrinfo", several)
        backend = sockets.Backend(None, Stop())
        backend.begin(time.monotonic() + 100)
        with timed(0.6, 0.8 + SLACK):
            backend.connect_tcp("api.corp.example", 443, timeout=0.8).close()


def test_host_is_reached_if_only_last_address_answers(emulator, monkeypatch):
    resolve = socket.getaddrinfo

    def several(host: str, port: int, *_arguments: object, **_options: object) -> object:
        ports = (9, port) if host == "localhost" else (port,)
        return [resolve("127.0.0.1", each, type=socket.SOCK_STREAM)[0] for each in ports]

    monkeypatch.setattr(socket, "getaddrinfo", several)
    with client_at(f"http://localhost:{emulator.port}", retry_for=5, key=emulator.api_key) as client:
        assert len(read(client).records) == 30
        assert client.requests == 1
