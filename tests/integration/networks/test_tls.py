"""Certificates and versions of TLS: what is trusted, and what is refused at once, with the reason."""

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
def test_a_certificate_that_is_not_trusted_is_a_matter_of_configuration_at_once(
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
def test_behind_a_proxy_it_is_the_api_whose_certificate_is_not_trusted(
    kind, authority, tmp_path, monkeypatch
):
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


def test_a_certificate_that_signed_itself_is_not_trusted(tmp_path):
    own = Authority.make(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.ca.private_key_pem.write_to_path(tmp_path / "key.pem")
    context.load_cert_chain(own.path, tmp_path / "key.pem")
    with raw_server(says(), context) as url, client_at(url, retry_for=60) as client:
        refused_once(client, CertificateNotTrusted, "self-signed", "SSL_CERT_FILE")


def test_an_intermediate_authority_is_enough(authority, tmp_path, monkeypatch):
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
def test_the_companys_authority_is_trusted_whichever_variable_names_it(variable, authority, monkeypatch):
    path = authority.path.parent if variable == "SSL_CERT_DIR" else authority.path
    monkeypatch.setenv(variable, str(path))
    with raw_server(says(), authority.context()) as url, client_at(url) as client:
        assert read(client).count == 0
        assert variable in str(client.route)


def test_other_versions_of_tls_are_refused_at_once(authority, monkeypatch):
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
def test_a_server_that_wants_a_certificate_of_ours_is_told_at_once(version, authority, monkeypatch):
    """In TLS 1.3 it says so only after the handshake."""
    context = authority.context()
    context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    with raw_server(says(), context) as url, client_at(url, retry_for=60) as client:
        refused_once(client, TlsRefused, url, "the TLS handshake failed")


def test_https_where_no_tls_is_spoken_is_told_at_once():
    with raw_server(says(status=400)) as url, client_at(url.replace("http", "https"), retry_for=60) as client:
        refused_once(client, TlsRefused, "no TLS on this port", "GCORE_BASE_URL")


def test_a_connection_that_ends_while_tls_is_agreed_on_is_tried_again():
    """As a server does that is being restarted, or that cannot make anything of it."""
    with raw_server(lambda _peer, _is_over: None) as url, client_at(url.replace("http", "https")) as client:
        with pytest.raises(Unreachable, match=r"closed during the TLS handshake|reset by peer"):
            read(client)
        assert client.requests > 1


def test_https_for_a_proxy_that_speaks_no_tls_is_told_at_once(monkeypatch):
    with raw_server(says(status=400)) as url:
        monkeypatch.setenv("HTTPS_PROXY", url.replace("http", "https"))
        who = "the proxy that HTTPS_PROXY names"
        with client_at("https://api.corp.example", retry_for=60) as client:
            refused_once(client, TlsRefused, who, "no TLS on this port", "in HTTPS_PROXY")


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
def test_http_where_tls_is_spoken_is_told_at_once(answer):
    with raw_server(answer) as url, client_at(url, retry_for=60) as client:
        refused_once(client, TlsRefused, "expects TLS on this port", "https:// in GCORE_BASE_URL")


def test_http_for_a_proxy_that_speaks_tls_is_told_at_once(monkeypatch):
    with raw_server(lambda peer, _is_over: peer.sendall(ALERT)) as url:
        monkeypatch.setenv("HTTPS_PROXY", url)
        with client_at("https://api.corp.example", retry_for=60) as client:
            refused_once(client, TlsRefused, "the proxy that HTTPS_PROXY names", "https:// in HTTPS_PROXY")
