"""A local server answers only requests for its own names, however they are written."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from etl.host_guard import HostGuard, is_public, parse_host

PORT = 8001


def guard(host: str = "127.0.0.1", address: str | None = None, *allowed: str) -> HostGuard:
    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    return HostGuard(application, host=host, address=address or host, port=PORT, allowed=allowed)


def status(guarded: HostGuard, *headers: tuple[str, str], target: str = "/x") -> int:
    """Return the status of the response to a request with these headers."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "raw_path": target.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    asyncio.run(guarded(scope, send, send))
    return sent[0]["status"]


OWN = (
    "127.0.0.1:8001", "localhost:8001", "LocalHost:8001", "LOCALHOST.:8001", "[::1]:8001", "localhost",
    "127.0.0.1", "[0:0:0:0:0:0:0:1]:8001", "[::ffff:127.0.0.1]:8001", "localhost:08001",
)  # fmt: skip
FOREIGN = (
    "evil.example", "evil.example:8001", "localhost.evil.example:8001", "127.0.0.1.evil.example:8001",
    "evil.example:8001@localhost", "localhost@evil.example", "localhost:8001.evil.example", "localhost:80",
    "localhost:8001:8001", "localhost:", "localhost:x", "localhost:-1", "localhost ,evil.example", "", " ",
    "localhost\tevil", "localhost/evil", "0.0.0.0:8001", "127.0.0.2:8001", "192.168.0.7:8001", "[::]:8001",
    "::1:8001", "[::1", "::1]", "localhost..:8001", ".localhost:8001", "2130706433:8001",
    "\u217cocalhost:8001",
)  # fmt: skip


@pytest.mark.parametrize("host", OWN)
def test_own_host_names_are_allowed(host):
    assert status(guard(), ("host", host)) == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_other_host_names_are_rejected(host):
    assert status(guard(), ("host", host)) == 403


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("host", "localhost:8001"), ("host", "localhost:8001")],
        [("host", "evil.example"), ("host", "localhost:8001")],
        [("host", "localhost:8001"), ("host", "evil.example")],
        [("x-forwarded-host", "localhost:8001")],
        [("host", "evil.example"), ("x-forwarded-host", "localhost:8001")],
        [("host", "evil.example"), ("forwarded", "host=localhost:8001")],
        [("host", "evil.example"), ("x-host", "localhost"), ("x-original-host", "localhost")],
    ],
)
def test_exactly_one_host_header_is_required(headers):
    assert status(guard(), *headers) == 403


@pytest.mark.parametrize(
    "target, expected",
    [
        ("/x", 200),
        ("http://localhost:8001/x", 200),
        ("HTTP://127.0.0.1:8001", 200),
        ("http://evil.example/x", 403),
        ("http://localhost:8001@evil.example/x", 403),
        ("http://evil.example?localhost", 403),
        ("evil.example:443", 403),
        ("*", 403),
        ("", 403),
    ],
)
def test_host_in_request_target_is_checked(target, expected):
    assert status(guard(), ("host", "localhost:8001"), target=target) == expected


@pytest.mark.parametrize(
    "origin, expected",
    [
        ("http://localhost:8001", 200),
        ("http://127.0.0.1:8001", 200),
        ("http://localhost:3000", 403),
        ("https://evil.example", 403),
        ("http://localhost:8001.evil.example", 403),
        ("null", 403),
        ("", 403),
        ("file://", 403),
        ("chrome-extension://abc", 403),
    ],
)
def test_cross_origin_requests_are_rejected(origin, expected):
    assert status(guard(), ("host", "localhost:8001"), ("origin", origin)) == expected


@pytest.mark.parametrize(
    "address, host, expected",
    [
        ("192.168.0.7", "192.168.0.7:8001", 200),
        ("192.168.0.7", "192.168.0.8:8001", 403),
        ("fe80::1%eth0", "[FE80:0::1]:8001", 200),
        ("192.168.0.7", "evil.example:8001", 403),
        ("192.168.0.7", "machine:8001", 200),
        ("0.0.0.0", "192.168.0.8:8001", 200),
        ("0.0.0.0", "0.0.0.0:8001", 200),
        ("0.0.0.0", "[fe80::1]:8001", 200),
        ("0.0.0.0", "evil.example:8001", 403),
        ("0.0.0.0", "192.168.0.8:80", 403),
        ("0.0.0.0", "1.2.3.4.evil.example:8001", 403),
        ("::", "10.0.0.1:8001", 200),
        ("::", "machine:8001", 200),
        ("::", "evil.example", 403),
        ("127.0.0.1", "machine.:8001", 403),
    ],
)
def test_public_address_allows_machine_name_and_ips(monkeypatch, address, host, expected):
    monkeypatch.setattr(socket, "gethostname", lambda: "Machine")
    assert status(guard(address), ("host", host)) == expected


@pytest.mark.parametrize(
    "allowed, host, expected",
    [
        ("copy.example", "copy.example", 200),
        ("copy.example", "COPY.example.:443", 200),
        ("Copy.Example", "copy.example:1", 200),
        ("copy.example:443", "copy.example:443", 200),
        ("copy.example:443", "copy.example:8001", 403),
        ("copy.example", "sub.copy.example", 403),
        ("copy.example", "localhost:8001", 200),
        ("localhost:9000", "localhost:9000", 200),
        ("localhost:9000", "localhost:9001", 403),
        ("[fd00::1]", "[fd00:0::1]:1", 200),
    ],
)
def test_additional_hosts_can_be_allowed(allowed, host, expected):
    assert status(guard("127.0.0.1", None, allowed), ("host", host)) == expected


def test_listen_host_is_allowed():
    assert status(guard("Copy.lan", "192.168.0.7"), ("host", "copy.lan:8001")) == 200


@pytest.mark.parametrize("text", ["", "a b", "http://x", "a/b", "[::1", "a:b", "a:123456", "a@b", "x\n"])
def test_parse_host_rejects_invalid_hosts(text):
    with pytest.raises(ValueError, match="is not a host"):
        parse_host(text)


def test_addresses_other_than_loopback_are_public():
    assert [is_public(each) for each in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1")] == [False] * 4
    assert [is_public(each) for each in ("0.0.0.0", "::", "192.168.0.7", "fe80::1%eth0")] == [True] * 4


def test_lifespan_events_are_passed_through():
    heard = []

    async def application(scope: Any, _receive: Any, _send: Any) -> None:
        heard.append(scope["type"])

    guarded = HostGuard(application, host="127.0.0.1", address="127.0.0.1", port=PORT)
    asyncio.run(guarded({"type": "lifespan"}, None, None))
    assert heard == ["lifespan"]
