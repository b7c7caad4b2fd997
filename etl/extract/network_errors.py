"""
Error messages for network, certificate and proxy failures.

Permanent failures are ConfigurationErrors and raised at once; the others are retried.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from typing import TYPE_CHECKING

import httpcore

from etl.errors import CertificateNotTrusted, EtlError, ProxyRefused, TlsRefused
from etl.extract.retry import TransientError, is_transient
from etl.secret import clean

if TYPE_CHECKING:
    from etl.extract.proxies import Proxy
    from etl.extract.sockets import RequestState
    from etl.extract.transport import Route

_MAX_REASON = 200
_BEFORE_SOCKS = "Proxy Server could not connect: "
# X509_V_ERR_… codes of failures that other trusted certificates would not change.
_EXPIRED, _NOT_YET_VALID, _OTHER_HOST, _OTHER_ADDRESS = 10, 9, 62, 64
# OpenSSL's reasons for a response that is not TLS.
_NOT_TLS = frozenset({
    *("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG"),
    *("RECORD_LAYER_FAILURE", "UNEXPECTED_MESSAGE", "BAD_RECORD_TYPE"),
})  # fmt: skip
# Temporary failures of the peer or the network.
_PASSING_ALERTS = frozenset({
    *("TLSV1_ALERT_INTERNAL_ERROR", "TLSV1_ALERT_USER_CANCELLED", "SSLV3_ALERT_BAD_RECORD_MAC"),
    *("DECRYPTION_FAILED_OR_BAD_RECORD_MAC", "SSLV3_ALERT_CLOSE_NOTIFY"),
})  # fmt: skip
# With TLS 1.3 the peer may refuse after the handshake, instead of responding.
_LATE_REFUSAL = re.compile("ALERT_.*(?:CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|HANDSHAKE_FAILURE)")


def explain(error: Exception, route: Route, request: RequestState) -> EtlError:
    """Return the error to raise for a failure of this thread's request."""
    cause = error.args[0] if error.args and isinstance(error.args[0], OSError) else None
    proxy = route.proxy if request.peer_is_proxy else None
    # Only the host and port of a proxy's URL may be shown.
    where = f"{proxy} ({proxy.address})" if proxy else route.base_url
    setting = proxy.variable if proxy else "GCORE_BASE_URL"
    if isinstance(cause, ssl.SSLCertVerificationError):
        source = route.trust.source if route.trust else "no certificates"
        return CertificateNotTrusted(f"{where}: {_about_certificate(cause, setting, source)}")
    is_late = not isinstance(error, httpcore.ConnectError)
    if isinstance(cause, ssl.SSLError) and (message := _about_tls(cause, setting, is_late=is_late)):
        return TlsRefused(f"{where}: {message}")
    if isinstance(error, httpcore.RemoteProtocolError) and request.heard_tls:
        return TlsRefused(f"{where} expects TLS on this port: write https:// in {setting}")
    if route.proxy and (
        isinstance(error, httpcore.ProxyError) or type(error).__module__.startswith("socksio")
    ):
        return _about_proxy(str(error), route.proxy, route.base_url)
    if isinstance(cause, ConnectionRefusedError) and proxy:
        return TransientError(f"{proxy} refused the connection ({proxy.address})")
    return TransientError(f"{where}: {_reason(error, cause)}")


def refused_by_proxy(route: Route) -> EtlError:
    """Return the error to raise for a 407."""
    if route.proxy is not None:
        return _about_proxy("407", route.proxy, route.base_url)
    message = f"{route.base_url}: a proxy in between requires a user name and password (HTTP 407)"
    return ProxyRefused(f"{message}: set HTTPS_PROXY to http://user:password@host:port")


def _about_certificate(error: ssl.SSLCertVerificationError, setting: str, source: str) -> str:
    problem = f"the certificate is not trusted ({error.verify_message.rstrip('.')})"
    if error.verify_code in {_EXPIRED, _NOT_YET_VALID}:
        advice = "check this machine's clock; if it is right, the server's certificate must be renewed"
    elif error.verify_code in {_OTHER_HOST, _OTHER_ADDRESS}:
        advice = f"check the host in {setting}; a proxy may be responding in its place"
    else:
        advice = (
            "if it belongs to a company's proxy or server, set SSL_CERT_FILE to a file with the company's CA"
        )
    return f"{problem}: {advice} (trusted: {source}; set SSL_CERT_FILE to trust others)"


def _about_tls(error: ssl.SSLError, setting: str, *, is_late: bool) -> str | None:
    """Return why TLS can never succeed; None if a retry may help."""
    reason = error.reason or ""
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)):
        return None
    if reason in _PASSING_ALERTS or (is_late and not _LATE_REFUSAL.search(reason)):
        return None
    if reason in _NOT_TLS:
        return (
            f"the server does not use TLS on this port: check the port in {setting}, "
            "or write http:// if that is intended"
        )
    shown = reason.replace("_", " ").lower() or "unknown reason"
    return f"the TLS handshake failed ({shown}): check {setting}, and any proxy that inspects TLS"


def _about_proxy(text: str, proxy: Proxy, base_url: str) -> EtlError:
    """Explain a proxy's response to a connection request: a status, or the text of a SOCKS error."""
    status = int(match[0]) if (match := re.match(r"\d{3}\b", text)) else None
    if status == 407 or "sername/password" in text or "Requested" in text:  # noqa: PLR2004
        if proxy.user or proxy.password:
            message = f"{proxy} refused the user name and password in {proxy.variable}"
            return ProxyRefused(f"{message}: check them, and that it accepts Basic authentication")
        url = f"{proxy.scheme}://user:password@host:port"
        return ProxyRefused(f"{proxy} requires a user name and password: set {proxy.variable} to {url}")
    reason = f"HTTP {status}" if status else clean(text.removeprefix(_BEFORE_SOCKS).rstrip("."))
    is_refusal = "not allowed" in text if status is None else not is_transient(status)
    if is_refusal:
        message = f"{proxy} refuses to connect to {base_url} ({reason})"
        return ProxyRefused(f"{message}: ask its administrator to allow that, or add the host to NO_PROXY")
    return TransientError(f"{proxy} could not connect to {base_url} ({reason})")


def _reason(error: Exception, cause: OSError | None) -> str:
    if isinstance(error, httpcore.ConnectTimeout):
        return "timed out while connecting"
    if isinstance(error, httpcore.TimeoutException):
        return "timed out while waiting for a response"
    if isinstance(cause, ssl.SSLEOFError):
        return "the connection was closed during the TLS handshake; the port may not support TLS"
    if isinstance(cause, socket.gaierror):
        return f"the host name cannot be resolved ({cause.strerror})"
    if cause is not None and cause.errno and not isinstance(cause, ssl.SSLError):
        return os.strerror(cause.errno)
    return clean(" ".join(str(error).split())[:_MAX_REASON]) or type(error).__name__
