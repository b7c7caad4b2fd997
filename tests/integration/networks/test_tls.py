"""TLS certificates and versions: what is trusted, and what fails without a retry, with the reason."""

from __future__ import annotations

import datetime as dt
import ssl

import pytest
from support.clients import client_at, raw_server, read, refused_once, says
from support.networks import Authority, HttpProxy, SocksProxy

from etl.errors import (
    CertificateNotTrusted,
    TlsRefused,
    Unreachable,
)
from etl.extract import transport

YESTERDAY, TOMORROW = (
    dt.datetime.now(dt.UTC) - dt.timedelta(days=1),
    dt.datetime.now(dt.UTC) + dt.timedelta(days=1),
)
CERTIFICATES = {
    "of a company": ({}, False, ["unable to get local issuer", "the company's CA"]),
    "expired": (
        {"not_after": YESTERDAY, "not_before": YESTERDAY - dt.timedelta(days=9)},
        True,
        ["expired", "clock"],
    ),
    "of tomorrow": ({"not_before": TOMORROW}, True, ["not yet valid", "clock"]),
    "of another host": ({"names": ["api.example"]}, True, ["mismatch", "check the host in {setting}"]),
}


@pytest.mark.parametrize("is_of_proxy", [False, True])
@pytest.mark.parametrize("certificate", CERTIFICATES)
def test_untrusted_certificate_is_configuration_error_without_retry(
    certificate, is_of_proxy, authority, monkeypatch
):
    options, is_ca_known, words = CERTIFICATES[certificate]
    context = authority.context(
        *options.get("names", []), **{k: v for k, v in options.items() if k != "names"}
    )
    if is_ca_known:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    with raw_server(says(), context) as url:
        if is_of_proxy:
            monkeypatch.setenv("HTTPS_PROXY", url)
        who = "the proxy that HTTPS_PROXY names" if is_of_proxy else url
        with client_at("https://api.corp.example" if is_of_proxy else url, retry_for=60) as client:
            line = refused_once(client, CertificateNotTrusted, who, "SSL_CERT_FILE", "not trusted")
    setting = "HTTPS_PROXY" if is_of_proxy else "GCORE_BASE_URL"
    assert all(word.format(setting=setting) in line for word in words), line
    assert ("(trusted: the certificates of the system" in line) is not is_ca_known


@pytest.mark.parametrize("kind", ["http", "https", "socks5"])
def test_untrusted_api_certificate_behind_proxy_names_the_api(kind, authority, tmp_path, monkeypatch):
    other = Authority.make(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    proxy = SocksProxy() if kind == "socks5" else HttpProxy()
    with (
        proxy.serve(authority.context() if kind == "https" else None) as port,
        raw_server(says(), other.context()) as url,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"{kind}://localhost:{port}")
        with client_at(url, retry_for=60) as client:
            line = refused_once(client, CertificateNotTrusted, url, "the company's CA")
    assert "proxy that" not in line


def test_self_signed_certificate_is_not_trusted(tmp_path):
    own = Authority.make(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.ca.private_key_pem.write_to_path(tmp_path / "key.pem")
    context.load_cert_chain(own.path, tmp_path / "key.pem")
    with raw_server(says(), context) as url, client_at(url, retry_for=60) as client:
        refused_once(client, CertificateNotTrusted, "self-signed", "SSL_CERT_FILE")


def test_trusting_intermediate_ca_is_sufficient(authority, tmp_path, monkeypatch):
    middle = authority.ca.create_child_ca()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    middle.issue_cert("127.0.0.1").configure_cert(context)
    middle.cert_pem.write_to_path(tmp_path / "middle.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "middle.pem"))
    with raw_server(says(), context) as url, client_at(url) as client:
        assert read(client).count == 0


@pytest.mark.parametrize(
    "variable", ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]
)
def test_custom_ca_is_trusted_from_each_variable(variable, authority, monkeypatch):
    path = authority.path.parent if variable == "SSL_CERT_DIR" else authority.path
    monkeypatch.setenv(variable, str(path))
    with raw_server(says(), authority.context()) as url, client_at(url) as client:
        assert read(client).count == 0
        assert variable in str(client.route)


def test_unsupported_tls_version_fails_without_retry(authority, monkeypatch):
    context = authority.context()
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    make = transport.load_trust

    def modern_only(environment: object) -> object:
        trust = make(environment)
        trust.context.minimum_version = ssl.TLSVersion.TLSv1_3
        return trust

    monkeypatch.setattr(transport, "load_trust", modern_only)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with raw_server(says(), context) as url, client_at(url, retry_for=60) as client:
        refused_once(client, TlsRefused, "the TLS handshake failed", "protocol version")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_server_requiring_client_certificate_fails_without_retry(version, authority, monkeypatch):
    """In TLS 1.3, the server reports this only after the handshake."""
    context = authority.context()
    context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    with raw_server(says(), context) as url, client_at(url, retry_for=60) as client:
        refused_once(client, TlsRefused, url, "the TLS handshake failed")


def test_https_to_plain_http_port_fails_without_retry():
    with raw_server(says(status=400)) as url, client_at(url.replace("http", "https"), retry_for=60) as client:
        refused_once(client, TlsRefused, "does not use TLS on this port", "GCORE_BASE_URL")


def test_connection_closed_during_tls_handshake_is_retried():
    """For example, by a server that is being restarted."""
    with raw_server(lambda _peer, _is_over: None) as url, client_at(url.replace("http", "https")) as client:
        with pytest.raises(Unreachable, match=r"closed during the TLS handshake|reset by peer"):
            read(client)
        assert client.requests > 1


def test_https_proxy_url_to_plain_http_proxy_fails_without_retry(monkeypatch):
    with raw_server(says(status=400)) as url:
        monkeypatch.setenv("HTTPS_PROXY", url.replace("http", "https"))
        who = "the proxy that HTTPS_PROXY names"
        with client_at("https://api.corp.example", retry_for=60) as client:
            refused_once(client, TlsRefused, who, "does not use TLS on this port", "in HTTPS_PROXY")


ALERT = b"\x15\x03\x01\x00\x02\x02\x46"


@pytest.mark.parametrize(
    "answer",
    [
        lambda peer, _is_over: peer.sendall(ALERT),
        says(b"<html>The plain HTTP request was sent to HTTPS port</html>", 400, kind="text/html"),
        says(b"Client sent an HTTP request to an HTTPS server.\n", 400, kind="text/plain"),
        says(b"Reason: You're speaking plain HTTP to an SSL-enabled server port.", 400, kind="text/html"),
    ],
)
def test_http_to_tls_port_fails_without_retry(answer):
    with raw_server(answer) as url, client_at(url, retry_for=60) as client:
        refused_once(client, TlsRefused, "expects TLS on this port", "https:// in GCORE_BASE_URL")


def test_http_proxy_url_to_tls_proxy_fails_without_retry(monkeypatch):
    with raw_server(lambda peer, _is_over: peer.sendall(ALERT)) as url:
        monkeypatch.setenv("HTTPS_PROXY", url)
        with client_at("https://api.corp.example", retry_for=60) as client:
            refused_once(client, TlsRefused, "the proxy that HTTPS_PROXY names", "https:// in HTTPS_PROXY")
