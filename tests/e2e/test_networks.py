"""Network problems (TLS, proxies, block pages, malformed keys): exit code and full error line of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.clients import SLACK, raw_server, says, timed
from support.commands import error_of
from support.networks import Authority, HttpProxy, drip, tls_front

if TYPE_CHECKING:
    import socket
    import threading
    from pathlib import Path

QUICKLY = {"GCORE_ETL_RETRY_FOR": "1s"}
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
LISTED = "GET /streaming/ai/tasks: "


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.make(tmp_path)


def gave_up(line: str, start: str) -> bool:
    """Return whether a line begins like this and ends with the number of attempts."""
    return line.startswith(f"Error: {LISTED}{start} (gave up after attempt ")


def test_untrusted_certificate_fails_sync_without_retry(sqlite_command, emulator, authority):
    with tls_front(emulator.port, authority.context()) as url, timed(0, 10 + SLACK):
        ended = sqlite_command("sync", GCORE_BASE_URL=url, **dict.fromkeys(CERTIFICATES, ""))
    assert error_of(ended, 3) == (
        f"Error: {url}: the certificate is not trusted (unable to get local issuer certificate): "
        "if it belongs to a company's proxy or server, set SSL_CERT_FILE to a file with the company's CA "
        "(trusted: the certificates of the system and of certifi; set SSL_CERT_FILE to trust others)"
    )
    assert "trying again" not in ended.err


@pytest.mark.parametrize("variable", CERTIFICATES)
def test_custom_ca_is_trusted_and_shown_by_doctor(variable, sqlite_command, emulator, authority):
    path = str(authority.path.parent if variable == "SSL_CERT_DIR" else authority.path)
    with tls_front(emulator.port, authority.context()) as url:
        environment = {**dict.fromkeys(CERTIFICATES, ""), "GCORE_BASE_URL": url, variable: path}
        assert sqlite_command("sync", **environment).code == 0
        ended = sqlite_command("doctor", **environment)
    assert ended.code == 0
    words = f"network       {url} is reached directly, without a proxy; trusted: the certificates of "
    assert f"{words}{variable} ({path})" in ended.out


def test_missing_ca_file_error_names_variable(sqlite_command):
    ended = sqlite_command("sync", GCORE_BASE_URL="https://127.0.0.1:9", SSL_CERT_FILE="/nowhere/canary")
    assert error_of(ended, 3) == (
        "Error: SSL_CERT_FILE names a file or folder that cannot be read (No such file or directory): "
        "correct it, or unset SSL_CERT_FILE"
    )


def test_unreachable_proxy_is_reported(sqlite_command):
    ended = sqlite_command("sync", HTTP_PROXY="http://me:canary@127.0.0.1:9", **QUICKLY)
    line = error_of(ended, 1)
    assert gave_up(line, "the proxy that HTTP_PROXY names refused the connection (127.0.0.1:9)")
    assert "canary" not in ended.err


def test_proxy_authentication_required_is_not_retried(sqlite_command):
    with HttpProxy(user="me:secret").serve() as port:
        ended = sqlite_command("sync", HTTP_PROXY=f"127.0.0.1:{port}")
    assert error_of(ended, 3) == (
        "Error: the proxy that HTTP_PROXY names requires a user name and password: "
        "set HTTP_PROXY to http://user:password@host:port"
    )


def test_proxy_password_is_used_and_never_printed(sqlite_command):
    with HttpProxy(user="me:canary%word").serve() as port:
        url = f"http://me:canary%25word@127.0.0.1:{port}"
        for words in ("sync", "doctor"):
            ended = sqlite_command(*words.split(), "-vv", HTTP_PROXY=url)
            assert ended.code == 0
            assert "canary" not in ended.out + ended.err
    assert f"through the proxy that HTTP_PROXY names (127.0.0.1:{port})" in ended.out


def test_forbidden_proxy_connect_is_reported(sqlite_command):
    with HttpProxy(refuses_with="403 Forbidden").serve() as port:
        environment = {
            "HTTPS_PROXY": f"http://127.0.0.1:{port}",
            "GCORE_BASE_URL": "https://api.corp.example",
        }
        ended = sqlite_command("sync", **environment)
    assert error_of(ended, 3) == (
        "Error: the proxy that HTTPS_PROXY names refuses to connect to https://api.corp.example (HTTP 403): "
        "ask its administrator to allow that, or add the host to NO_PROXY"
    )


def test_invalid_proxy_url_is_reported_without_its_value(sqlite_command):
    ended = sqlite_command("sync", HTTP_PROXY="http://me:can#ary@proxy:3128")
    assert error_of(ended, 3) == (
        "Error: HTTP_PROXY is not the address of a proxy, such as http://proxy.example:3128: correct it; "
        "special characters in a user or password must be percent-encoded"
    )


@pytest.mark.parametrize("listed", ["localhost,fd00::/8,127.0.0.1", "[::1],127.0.0.0/8", "[,127.0.0.1", "*"])
def test_no_proxy_bypasses_proxy(listed, sqlite_command):
    ended = sqlite_command("sync", HTTP_PROXY="http://127.0.0.1:9", NO_PROXY=listed)
    assert ended.code == 0, ended


def test_html_403_is_not_reported_as_rejected_key(sqlite_command):
    with raw_server(says(b"<html>Blocked by policy</html>", 403, kind="text/html")) as url:
        ended = sqlite_command("sync", GCORE_BASE_URL=url)
    assert error_of(ended, 1) == (
        f"Error: {url}: a proxy, firewall or sign-in page responded instead of the API (HTML, HTTP 403): "
        "open the address in a browser to see it, and check GCORE_BASE_URL, if it is set"
    )


def test_html_200_is_reported_as_sign_in_page(sqlite_command):
    with raw_server(says(b"<!DOCTYPE html><title>Sign in</title>", kind="text/html")) as url:
        ended = sqlite_command("sync", GCORE_BASE_URL=url, **QUICKLY)
    words = f"{url}: a proxy, firewall or sign-in page responded instead of the API (HTML, HTTP 200): "
    words += "open the address in a browser to see it, and check GCORE_BASE_URL, if it is set"
    assert gave_up(error_of(ended, 1), words)


@pytest.mark.parametrize("other", [{}, {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}])
def test_request_timeout_applies_to_endless_response(other, sqlite_command):
    def answer(peer: socket.socket, _is_over: threading.Event) -> None:
        drip(peer, times=1500)

    with raw_server(answer) as url, timed(1, 10 + SLACK):
        ended = sqlite_command("sync", "--retry-for", "1s", GCORE_BASE_URL=url, **other)
    assert gave_up(error_of(ended, 1), f"{url}: timed out while waiting for a response")


@pytest.mark.parametrize("wrapping", ["'{}'", '"{}"', "\ufeff{}\r\n", "GCORE_API_KEY='{}'", "APIKey {}"])
def test_quotes_and_prefixes_around_key_are_stripped(wrapping, sqlite_command, emulator):
    key = wrapping.format(emulator.api_key)
    assert sqlite_command("sync", GCORE_API_KEY=key).code == 0
    assert (
        "key           GCORE_API_KEY is set and well-formed"
        in sqlite_command("doctor", GCORE_API_KEY=key).out
    )


def test_malformed_key_is_rejected_before_any_request(sqlite_command, emulator):
    for words in ("sync", "doctor"):
        ended = sqlite_command(words, GCORE_API_KEY=f"'{emulator.api_key}")
        assert error_of(ended, 3) == (
            "Error: GCORE_API_KEY: contains ', which is not allowed in an API key: "
            "paste only the key, as shown in the Gcore portal"
        )
    assert emulator.requests == []


def test_truncated_key_is_not_reported_as_well_formed(sqlite_command):
    ended = sqlite_command("doctor", GCORE_API_KEY="1234")
    assert "GCORE_API_KEY is set, but keys from the portal have the form NUMBER$TEXT" in ended.out
    assert "well-formed" not in ended.out
    assert "refused the API key (HTTP 401)" in ended.out
    assert ended.code == 3


def test_variables_of_gcore_cli_are_pointed_out(sqlite_command):
    names = {
        "GCORE_API_KEY": "",
        "GCORE_BASE_URL": "",
        "GCORE_APIKEY": "canary",
        "GCORE_URL": "http://canary",
    }
    ended = sqlite_command("sync", **names)
    assert error_of(ended, 3) == (
        "Error: no API key: create a token in the Gcore portal (Profile, API tokens) "
        "and run export GCORE_API_KEY='…', in single quotes"
        "; GCORE_APIKEY is set, but only Gcore's own command line reads it: "
        "set GCORE_API_KEY to the same value"
        "; GCORE_URL is set, but only Gcore's own command line reads it: "
        "set GCORE_BASE_URL to the same value"
    )


def test_sending_key_unencrypted_warns_once(sqlite_command, emulator):
    """The emulator acts as a proxy, which accepts every host."""
    ended = sqlite_command("sync", GCORE_BASE_URL="http://api.corp.example", HTTP_PROXY=emulator.base_url)
    assert ended.code == 0
    (line,) = [line for line in ended.err.splitlines() if "unencrypted" in line]
    assert line.endswith(
        "GCORE_BASE_URL begins with http://: "
        "the API key is sent unencrypted to api.corp.example; use https://"
    )
