"""Which proxy a request uses, given the environment and the system settings."""

from __future__ import annotations

import pytest

from etl.errors import ConfigurationError
from etl.extract.proxies import choose_proxy, is_exempt, parse_proxy

API = "https://api.corp.example"


@pytest.mark.parametrize(
    "listed",
    [
        "*", "corp.example", ".corp.example", "*.corp.example", "api.corp.example", "API.Corp.Example",
        "corp.example.", ".corp.example.", "corp.example:443", ".corp.example:443", "*.corp.example:443",
        "localhost,fd00::/8,corp.example", "[::1],::1,10.0.0.0/8, corp.example ", "a b corp.example",
        "//,[,[::1]x,10.0.0.0/99,fd00::/8/8,corp.example:x,\u00e9\u00e9..\u00e9,:,.,-,corp.example",
        "https://corp.example", "all://corp.example", "https://api.corp.example/", "*corp.example", "api.*",
    ],
)  # fmt: skip
def test_no_proxy_accepts_all_common_notations(listed):
    assert is_exempt(listed, "https", "api.corp.example", 443)
    assert choose_proxy(API, {"HTTPS_PROXY": "http://p:1", "NO_PROXY": listed}) is None


@pytest.mark.parametrize(
    "listed",
    [
        "", ",", " ", "example.com", "xcorp.example", "orp.example", "pi.corp.example", "api", "corp",
        "corp.example:8443", "*.api.corp.example", "http://corp.example", "10.0.0.0/8", "::/0", "0.0.0.0/0",
        "localhost,fd00::/8", "[::1]", "[", "*.", ".", "corp.example/8", "corp.example:",
        "api.corp.example:x",
    ],
)  # fmt: skip
def test_no_proxy_does_not_match_other_hosts(listed):
    assert not is_exempt(listed, "https", "api.corp.example", 443)


@pytest.mark.parametrize(
    "listed, host, port, is_covered",
    [
        ("10.0.0.0/8", "10.1.2.3", 80, True),
        ("10.9.9.9/8", "10.1.2.3", 80, True),
        ("10.0.0.0/8", "11.1.2.3", 80, False),
        ("10.1.2.3", "10.1.2.3", 80, True),
        ("10.1.2.3:80", "10.1.2.3", 80, True),
        ("10.1.2.3:81", "10.1.2.3", 80, False),
        ("10.1.2.*", "10.1.2.3", 80, True),
        ("2.3", "10.1.2.3", 80, False),
        ("::1", "::1", 80, True),
        ("[::1]", "::1", 80, True),
        ("[::1]:80", "::1", 80, True),
        ("[::1]:81", "::1", 80, False),
        ("0:0::0001", "::1", 80, True),
        ("fd00::/8", "fd12::1", 80, True),
        ("[fd00::]/8", "fd12::1", 80, True),
        ("[fd00::/8]", "fd12::1", 80, True),
        ("FD00::/8", "fd12::1", 80, True),
        ("fd00::/8", "fe80::1", 80, False),
        ("fe80::1%eth0", "fe80::1%eth1", 80, True),
        ("10.0.0.0/8", "::ffff:10.0.0.1", 80, True),
        ("::ffff:10.0.0.1", "10.0.0.1", 80, True),
        ("localhost", "localhost", 80, True),
        ("localhost", "LOCALHOST.", 80, True),
        ("localhost", "127.0.0.1", 80, False),
        ("köln.example", "xn--kln-sna.example", 80, True),
        ("köln.example", "www.köln.example", 80, True),
    ],
)
def test_no_proxy_matches_ip_ranges_and_host_names(listed, host, port, is_covered):
    assert is_exempt(listed, "http", host, port) is is_covered


@pytest.mark.parametrize(
    "environment, used",
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://a:1"}, "a:1"),
        ({"https_proxy": "http://a:1"}, "a:1"),
        ({"Https_Proxy": "http://a:1"}, "a:1"),
        ({"HTTPS_PROXY": "http://b:1", "https_proxy": "http://a:1"}, "a:1"),
        ({"https_proxy": "", "HTTPS_PROXY": "http://a:1"}, "a:1"),
        ({"HTTPS_PROXY": " "}, None),
        ({"HTTP_PROXY": "http://b:1"}, None),
        ({"ALL_PROXY": "http://a:1"}, "a:1"),
        ({"all_proxy": "http://a:1", "HTTP_PROXY": "http://b:1"}, "a:1"),
        ({"ALL_PROXY": "http://b:1", "HTTPS_PROXY": "http://a:1"}, "a:1"),
        ({"ALL_PROXY": "gopher://b", "HTTP_PROXY": "::", "HTTPS_PROXY": "http://a:1"}, "a:1"),
        ({"HTTPS_PROXY": "http://b:1", "no_proxy": "corp.example", "NO_PROXY": "x"}, None),
        ({"HTTPS_PROXY": "http://a:1", "no_proxy": "x", "NO_PROXY": "corp.example"}, "a:1"),
        ({"HTTPS_PROXY": "http://b:1", "No_Proxy": "corp.example"}, None),
        ({"HTTPS_PROXY": "http://a:1", "REQUEST_METHOD": "GET"}, "a:1"),
    ],
)
def test_proxy_variable_precedence(environment, used):
    proxy = choose_proxy(API, environment)
    assert (proxy and proxy.address) == used


def test_http_proxy_variable_is_ignored_under_cgi():
    environment = {"HTTP_PROXY": "http://evil:1", "REQUEST_METHOD": "GET"}
    assert choose_proxy("http://api.corp.example", environment) is None
    environment["http_proxy"] = "http://a:1"
    proxy = choose_proxy("http://api.corp.example", environment)
    assert proxy is not None
    assert proxy.address == "a:1"


def test_environment_overrides_system_proxy():
    system = {"https": "a:1", "http": "http://b:1"}
    proxy = choose_proxy(API, {}, system)
    assert (str(proxy), proxy and proxy.address) == ("the proxy that the system's settings name", "a:1")
    assert choose_proxy(API, {"NO_PROXY": "corp.example"}, system) is None
    other = choose_proxy(API, {"HTTPS_PROXY": "http://c:1"}, system)
    assert (str(other), other and other.address) == ("the proxy that HTTPS_PROXY names", "c:1")


@pytest.mark.parametrize(
    "value, scheme, address, user, password",
    [
        ("http://proxy.example:3128", "http", "proxy.example:3128", "", None),
        ("http://proxy.example:3128/", "http", "proxy.example:3128", "", None),
        ("proxy.example:3128", "http", "proxy.example:3128", "", None),
        ("proxy.example", "http", "proxy.example:80", "", None),
        ("10.0.0.1:3128", "http", "10.0.0.1:3128", "", None),
        ("https://proxy.example", "https", "proxy.example:443", "", None),
        ("HTTP://PROXY.example:1", "http", "proxy.example:1", "", None),
        ("http://[::1]:3128", "http", "[::1]:3128", "", None),
        ("socks5://h", "socks5", "h:1080", "", None),
        ("socks5h://h:1", "socks5h", "h:1", "", None),
        ("socks://h:1/", "socks5", "h:1", "", None),
        ("http://köln.example:1", "http", "xn--kln-sna.example:1", "", None),
        ("http://me:s%40e%2Fcret@h:1", "http", "h:1", "me", "s@e/cret"),
        ("me:secret@h:1", "http", "h:1", "me", "secret"),
        ("http://me:s@cret@h:1", "http", "h:1", "me", "s@cret"),
        ("http://me@h:1", "http", "h:1", "me", None),
        ("http://:pw@h:1", "http", "h:1", "", "pw"),
    ],
)
def test_proxy_url_is_parsed(value, scheme, address, user, password):
    proxy = parse_proxy("X", value)
    assert (proxy.scheme, proxy.address, proxy.user) == (scheme, address, user)
    assert (proxy.password and proxy.password.reveal()) == password
    assert "secret" not in repr(proxy)


@pytest.mark.parametrize(
    "value",
    [
        "gopher://me:canary@h:1", "socks4://canary", "http://me:canary@h:canary", "http://me:canary@h:99999",
        "http://me:canary@h:0", "http://me:canary@", "http://", "http://canary canary:1", "http://[::1:canary",
        "http://me:12/canary@h:1", "http://me:1#canary@h:1", "http://me:1?canary@h:1", "me:12/canary@h:1",
        "http://canary..canary:1", "canary:canary",
    ],
)  # fmt: skip
def test_invalid_proxy_url_is_rejected_without_leaking_it(value):
    with pytest.raises(ConfigurationError, match=r"^HTTPS_PROXY (is not the address|names a kind)") as caught:
        choose_proxy(API, {"HTTPS_PROXY": value})
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
