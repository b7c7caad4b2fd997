"""Errors tell proxies, firewalls and sign-in pages apart from the API."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from support.clients import SLACK, client_at, raw_server, read, refused_once, says, timed
from support.networks import HttpProxy, SocksProxy, listening, read_head, tls_front

from etl.errors import (
    ConfigurationError,
    CredentialsRefused,
    EtlError,
    NotTheApi,
    ProxyRefused,
    UndecodableResult,
    Unreachable,
)
from etl.extract import transport
from etl.extract.transport import Route

if TYPE_CHECKING:
    import socket


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_unreachable_proxy_is_reported(scheme, kind, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", f"{kind}://me:canary@127.0.0.1:9")
    with client_at(f"{scheme}://api.corp.example") as client, pytest.raises(Unreachable) as caught:
        read(client)
    assert "the proxy that ALL_PROXY names refused the connection (127.0.0.1:9)" in str(caught.value)
    assert "canary" not in str(caught.value)
    assert client.requests > 1


def test_unresolvable_proxy_host_is_named(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid:3128")
    words = r"the proxy that HTTPS_PROXY names \(proxy.invalid:3128\): the host name cannot be resolved"
    with client_at("https://api.corp.example") as client, pytest.raises(Unreachable, match=words):
        read(client)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "login, words",
    [
        ("", "requires a user name and password: set ALL_PROXY to http://user:password@host:port"),
        ("me:canary@", "refused the user name and password in ALL_PROXY"),
    ],
)
def test_proxy_authentication_failure_is_not_retried(scheme, login, words, monkeypatch):
    with HttpProxy(user="me:s%cret word").serve() as port:
        monkeypatch.setenv("ALL_PROXY", f"http://{login}127.0.0.1:{port}")
        with client_at(f"{scheme}://api.corp.example", retry_for=60) as client:
            line = refused_once(client, ProxyRefused, words)
    assert "canary" not in line


@pytest.mark.parametrize("name", ["through a proxy", "through a tunnel"])
def test_proxy_gets_its_password_but_no_api_key_through_tunnel(name, authority, emulator, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    proxy = HttpProxy(user="me:s%cret word")
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(proxy.serve())
        monkeypatch.setenv("ALL_PROXY", f"http://me:s%25cret%20word@127.0.0.1:{port}")
        url = emulator.base_url
        if name == "through a tunnel":
            url = stack.enter_context(tls_front(emulator.port, authority.context()))
        client = stack.enter_context(client_at(url, retry_for=5, key=emulator.api_key))
        assert len(read(client).records) == 30
    is_tunnel = name == "through a tunnel"
    assert any(b"Proxy-Authorization" in head for head in proxy.heads)
    # The proxy cannot see what goes through a tunnel.
    assert any(emulator.api_key.encode() in head for head in proxy.heads) is not is_tunnel


def test_407_without_configured_proxy_is_not_a_refused_key():
    with raw_server(says(b"", 407)) as url, client_at(url, retry_for=60) as client:
        refused_once(client, ProxyRefused, "a proxy in between requires a user name and password")


@pytest.mark.parametrize(
    "status, is_final",
    [
        ("403 No", True),
        ("405 No", True),
        ("451 No", True),
        ("502 Bad", False),
        ("503 Busy", False),
        ("429 Slow", False),
    ],
)
def test_refused_connect_is_retried_only_for_transient_statuses(status, is_final, monkeypatch):
    with HttpProxy(refuses_with=status).serve() as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        with client_at("https://api.corp.example", retry_for=60 if is_final else 0.4) as client:
            if is_final:
                words = "refuses to connect to https://api.corp.example", f"(HTTP {status[:3]})", "NO_PROXY"
                refused_once(client, ProxyRefused, "the proxy that HTTPS_PROXY names", *words)
                return
            words = rf"HTTPS_PROXY names could not connect to https://api.corp.example \(HTTP {status[:3]}\)"
            with pytest.raises(Unreachable, match=words):
                read(client)
            assert client.requests > 1


@pytest.mark.parametrize(
    "proxy, login, error, words",
    [
        (SocksProxy(user="me:pw"), "", ProxyRefused, "requires a user name and password"),
        (SocksProxy(user="me:pw"), "me:canary@", ProxyRefused, "refused the user name and password"),
        (SocksProxy(user="me:pw", reply=2), "me:pw@", ProxyRefused, "not allowed"),
        (SocksProxy(reply=4), "", Unreachable, "connect to http://api.corp.example (Host unreachable)"),
    ],
)
def test_socks_proxy_refusal_is_explained(proxy, login, error, words, monkeypatch):
    with proxy.serve() as port:
        monkeypatch.setenv("ALL_PROXY", f"socks5://{login}127.0.0.1:{port}")
        with client_at("http://api.corp.example") as client, pytest.raises(error) as caught:
            read(client)
    assert words in str(caught.value)
    assert "the proxy that ALL_PROXY names" in str(caught.value)
    assert "canary" not in str(caught.value)


def test_socks_proxy_password_is_not_logged(emulator, monkeypatch, caplog):
    caplog.set_level("DEBUG")
    with SocksProxy(user="me:canary-password").serve() as port:
        monkeypatch.setenv("ALL_PROXY", f"socks5://me:canary-password@127.0.0.1:{port}")
        with client_at(emulator.base_url, retry_for=5, key=emulator.api_key) as client:
            assert len(read(client).records) == 30
    assert "socks5" in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x05", b"", b"\x05\x01\x02\x03\x04" * 99]
)
def test_invalid_socks_response_names_the_proxy(said, monkeypatch):
    with raw_server(lambda peer, _is_over: peer.sendall(said)) as url:
        monkeypatch.setenv("ALL_PROXY", url.replace("http", "socks5"))
        error = pytest.raises((Unreachable, ProxyRefused), match="the proxy that ALL_PROXY names")
        with client_at("http://api.corp.example") as client, error:
            read(client)


@pytest.mark.parametrize("status", [401, 403, 404, 405, 410, 422])
@pytest.mark.parametrize(
    "body, kind",
    [
        (b"<!DOCTYPE html><html><title>Sign in</title></html>", "text/html"),
        (b"\n<HTML>Blocked by policy</HTML>", "text/plain"),
        (b"Blocked by policy", "text/html; charset=utf-8"),
    ],
)
def test_html_error_page_is_not_mistaken_for_the_api(status, body, kind):
    with raw_server(says(body, status, kind=kind)) as url, client_at(url, retry_for=60) as client:
        for fetch in (read, lambda client: client.fetch_detail("x")):
            with timed(0, SLACK), pytest.raises(NotTheApi) as caught:
                fetch(client)
            assert caught.value.exit_code == 1
            assert f"responded instead of the API (HTML, HTTP {status})" in str(caught.value)
        assert client.requests == 2


@pytest.mark.parametrize("status", [200, 429, 500, 502, 503, 511])
def test_html_page_with_transient_status_is_retried(status):
    page = says(b"<html>Sign in</html>", status, kind="text/html")
    with raw_server(page) as url, client_at(url) as client:
        words = rf"a proxy, firewall or sign-in page responded instead of the API \(HTML, HTTP {status}\)"
        with pytest.raises(Unreachable, match=words) as caught:
            read(client)
        assert type(caught.value) is (UndecodableResult if status == 200 else Unreachable)
        assert client.requests > 1


def test_html_page_received_through_proxy_names_the_proxy(monkeypatch):
    with raw_server(says(b"<html>Blocked</html>", 403, kind="text/html")) as url:
        monkeypatch.setenv("HTTP_PROXY", url)
        error = pytest.raises(NotTheApi, match=r"HTTP 403, through the proxy that HTTP_PROXY names\)")
        with client_at("http://api.corp.example") as client, error:
            read(client)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("kind", ["application/json", "text/html"])
def test_401_or_403_with_json_body_is_a_refused_key(status, kind):
    with raw_server(says(b'{"message":"no"}', status, kind=kind)) as url, client_at(url) as client:
        refused_once(client, CredentialsRefused, f"refused the API key (HTTP {status})")


@pytest.mark.parametrize(
    "location",
    [
        "http://[::1",
        "http://[x]/",
        "http://h:x/",
        "https://login.corp.example/?to=x",
        "//portal.example/",
        "https://me:canary@login.corp.example/",
        "javascript:0",
        "//256.1.1.1/",
        "//xn--/",
        f"/{'x' * 70_000}",
    ],
)
def test_foreign_or_invalid_redirect_is_not_followed(location):
    with (
        raw_server(says(b"", 302, f"Location: {location}")) as url,
        client_at(url) as client,
        pytest.raises(EtlError, match=r"redirects to (another host|an invalid URL)") as caught,
    ):
        read(client)
    assert client.requests == 1
    assert "canary" not in str(caught.value)
    if "login" in location:
        assert "redirects to another host, https://login.corp.example; the key was not sent there" in str(
            caught.value
        )
        assert "if it is the sign-in page of a network or proxy, sign in first" in str(caught.value)
        assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    "location, target",
    [
        ("/a b?c=d e#f", b"/a%20b?c=d%20e"),
        ("{url}//x", b"//x"),
        ("?limit=1", b"/streaming/ai/tasks?limit=1"),
        ("{url}", b"/"),
        ("/\u00fc%C3%BC", b"/%FC%C3%BC"),
        ("{url_with_user}/x", b"/x"),
    ],
)
def test_same_origin_redirect_is_followed_in_any_notation(location, target):
    heads = []

    def answer(peer: socket.socket) -> None:
        heads.append(read_head(peer))
        at = f"127.0.0.1:{peer.getsockname()[1]}"
        to = f"Location: {location.format(url=f'http://{at}', url_with_user=f'http://me:secret@{at}')}"
        body = b'{"count":0,"results":[]}'
        head = "HTTP/1.1 200 X" if len(heads) > 1 else f"HTTP/1.1 302 X\r\n{to}"
        sent = f"{head}\r\nSet-Cookie: a=b\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        peer.sendall(sent.encode("latin-1") + body)

    with listening(answer) as port, client_at(f"http://127.0.0.1:{port}") as client:
        assert read(client).count == 0
    assert heads[1].split(b" ")[1] == target
    assert b"\r\nAuthorization: APIKey 1$abcdef\r\n" in heads[1]
    assert b"cookie" not in heads[1].lower()


@pytest.mark.parametrize("host", ["256.1.1.1", "\u2603.example", "xn--", "xn--a.example"])
def test_invalid_host_is_refused_before_any_request(host):
    with pytest.raises(ConfigurationError, match="GCORE_BASE_URL") as caught:
        client_at(f"http://{host}")
    assert caught.value.exit_code == 3


def test_closed_connection_names_the_host():
    with (
        raw_server(lambda _peer, _is_over: None) as url,
        client_at(url) as client,
        pytest.raises(Unreachable, match=f"{url}: .*disconnected"),
    ):
        read(client)


@pytest.mark.parametrize(
    "url, is_warned",
    [
        ("http://api.corp.example:1", True),
        ("http://8.8.8.8:1/x", True),
        ("http://[2001:4860::1]:1", True),
        ("HTTP://API.corp.example:2", True),
        ("https://api.corp.example:1", False),
        ("http://127.0.0.1:1", False),
        ("http://localhost:1", False),
        ("http://[::1]:1", False),
        ("http://10.1.2.3:1", False),
        ("http://emulator:1", False),
        ("http://nas.local:1", False),
    ],
)
def test_unencrypted_key_to_remote_host_is_warned_about_once(url, is_warned, caplog):
    transport.warn_if_unencrypted.cache_clear()
    for _ in range(3):
        client_at(url).close()
    assert len([line for line in caplog.messages if "unencrypted" in line]) == is_warned


def test_route_describes_proxy_and_trusted_certificates(authority):
    assert str(Route.find("http://h", {})) == "http://h is reached directly, without a proxy"
    environment = {"HTTPS_PROXY": "http://me:canary@p:1", "SSL_CERT_FILE": str(authority.path)}
    assert str(Route.find("https://h", environment)) == (
        "https://h is reached through the proxy that HTTPS_PROXY names (p:1); "
        f"trusted: the certificates of SSL_CERT_FILE ({authority.path})"
    )
