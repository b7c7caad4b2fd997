"""
Sessions: httpx clients for one API, direct or through a proxy, each used by one thread at a time.

httpx limits the time of each read, not their sum, and its own transport does not accept other sockets. The
transport here is as thin, over the same connection pool of httpcore, with the sockets of `sockets`, which
keep a deadline. Threads could share one pool, but closing it while one of them reads is a race; so each
session has its own, closed by the thread that used it last. Only this module uses httpx, and no httpx type
leaves it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.util
import ipaddress
import logging
import os
import threading
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin, urlsplit

import httpcore

from etl.errors import ConfigurationError, MissingExtra
from etl.extract.certificates import Trust, load_trust
from etl.extract.lean_httpx import httpx
from etl.extract.proxies import PORTS, Proxy, choose_proxy
from etl.extract.response import RawResponse
from etl.extract.retry import TransientError
from etl.extract.sockets import Backend
from etl.secret import MASK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from etl.stop import Stop

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10.0
KEEPALIVE_SECONDS = 5.0
# Characters that need no quoting in a URL; a server may send anything in a `Location`.
_SAFE = "%/:=&?~#+!$,;'@()*[]"
_ERRORS: tuple[type[Exception], ...] = (
    *(httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """How the API is reached: the proxy, if any, and the trusted certificates, if TLS is used."""

    base_url: str
    proxy: Proxy | None
    trust: Trust | None

    @classmethod
    def find(cls, base_url: str, environment: Mapping[str, str] | None = None) -> Route:
        """Return the route that the environment configures. Raises ConfigurationError if it is invalid."""
        environment = os.environ if environment is None else environment
        if not _is_address(base_url):
            raise ConfigurationError("GCORE_BASE_URL is not a valid URL: its host or path is malformed")
        proxy = choose_proxy(base_url, environment)
        if proxy and proxy.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
            raise MissingExtra(f"a SOCKS proxy, as {proxy.variable} names it,", "socks")
        is_tls = "https" in {urlsplit(base_url).scheme.lower(), proxy and proxy.scheme}
        return cls(base_url, proxy, load_trust(environment) if is_tls else None)

    def __str__(self) -> str:
        way = f"through {self.proxy} ({self.proxy.address})" if self.proxy else "directly, without a proxy"
        return f"{self.base_url} is reached {way}" + (f"; trusted: {self.trust.source}" if self.trust else "")


class Transport(httpx.BaseTransport):
    """
    At most one connection, kept open between requests; nothing on it outlasts `backend.deadline`.

    Network failures raise one of `errors`: errors of httpcore, whose causes name the peer that failed.
    """

    def __init__(self, route: Route, stop: Stop) -> None:
        scheme = route.proxy.scheme if route.proxy else None
        self.backend = Backend(scheme, stop)
        self.errors = _ERRORS
        if scheme in {"socks5", "socks5h"}:
            import socksio  # noqa: PLC0415 - an extra

            self.errors = (*_ERRORS, socksio.SOCKSError)
        self._pool = httpcore.ConnectionPool(
            ssl_context=route.trust.context if route.trust else None,
            proxy=_proxy_of(route),
            max_connections=1,
            keepalive_expiry=KEEPALIVE_SECONDS,
            network_backend=self.backend,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it, and return the response when its headers have arrived."""
        host = request.url.raw_host
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            # As in a CONNECT request.
            host=b"[%b]" % host if b":" in host else host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        try:
            response = self._pool.handle_request(
                httpcore.Request(
                    request.method, url, headers=request.headers.raw, extensions=request.extensions
                )
            )
        except BaseException:
            # A connection that failed after a proxy's CONNECT would occupy the pool's only slot.
            self._pool.close()
            raise
        return _Response(response.status, headers=response.headers, stream=_Body(response))

    def close(self) -> None:
        """Close the connection."""
        self._pool.close()


class _Response(httpx.Response):
    """The client follows redirects itself; httpx would raise for an invalid `Location`."""

    @property
    def has_redirect_location(self) -> bool:
        return False


class _Body(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        return self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


class Session:
    """Sends requests with the same headers each time; it keeps no cookies."""

    def __init__(self, route: Route, headers: Mapping[str, str], read_timeout: float, stop: Stop) -> None:
        transport = Transport(route, stop)
        self.backend, self.errors = transport.backend, transport.errors
        self._client = httpx.Client(
            transport=transport,
            headers=headers,
            # Otherwise credentials in the URL of a redirect would replace the key.
            auth=lambda request: request,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            timeout=httpx.Timeout(read_timeout, connect=CONNECT_TIMEOUT),
            follow_redirects=False,
            trust_env=False,
        )

    @contextlib.contextmanager
    def get(self, url: str, *, deadline: float) -> Iterator[RawResponse]:
        """
        Send a request, and yield the response when its headers have arrived; the deadline includes its body.

        Network failures raise one of `errors`, here and while the body is read.
        """
        self.backend.deadline = deadline
        try:
            with self._client.stream("GET", url) as response:
                yield RawResponse(response.status_code, response.headers.raw, response.iter_raw())
        except BaseException:
            self.backend.abandon()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


class Sessions:
    """A limited number of sessions, each used by one thread at a time."""

    def __init__(self, open_session: Callable[[], Session], max_sessions: int) -> None:
        self._open = open_session
        self._free = threading.Semaphore(max_sessions)
        self._is_closed = False
        self._idle: list[Session] = []

    @contextlib.contextmanager
    def borrow(self, timeout: float) -> Iterator[Session]:
        """Yield a session for this thread alone. Raises TransientError if none is free in time."""
        if not self._free.acquire(timeout=timeout):
            raise TransientError("no connection was free in time")
        try:
            session = self._take() or self._open()
            try:
                yield session
            finally:
                self._idle.append(session)
        finally:
            self._free.release()
            if self._is_closed:
                self.close()

    def close(self) -> None:
        """Close the idle sessions; one in use is closed when its thread returns it."""
        self._is_closed = True
        while session := self._take():
            session.close()

    def _take(self) -> Session | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None


def redirected(url: str, location: bytes) -> str | None:
    """Return the URL that a `Location` header points to; None if it is not valid."""
    try:
        # A server may send characters that are not allowed in a URL.
        target = urljoin(url, quote(location, safe=_SAFE))
        origin_of(target)
    except ValueError:
        return None
    return target if _is_address(target) else None


def _is_address(url: str) -> bool:
    """Return whether httpx accepts a URL; for some it only raises when the host is read."""
    try:
        return bool(httpx.URL(url).host)
    except (httpx.InvalidURL, UnicodeError):
        return False


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of a URL; the key is sent only where all three are the same."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or PORTS.get(parts.scheme)


@functools.cache
def warn_if_unencrypted(base_url: str) -> None:
    """Warn, once per process, that the key is sent unencrypted to a host outside the local network."""
    parts = urlsplit(base_url)
    if parts.scheme.lower() == "http" and not _is_near(parts.hostname or ""):
        logger.warning(
            "GCORE_BASE_URL begins with http://: the API key is sent unencrypted to %s; use https://",
            parts.hostname,
        )


def _is_near(host: str) -> bool:
    """Return whether a host is this machine or in its local network, as names without a dot are."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".local", ".internal"))
    return address.is_loopback or address.is_private or address.is_link_local


class _Hidden(bytes):
    """Bytes whose repr is masked: httpcore logs the password of a SOCKS proxy."""

    __slots__ = ()

    def __repr__(self) -> str:
        return MASK


def _proxy_of(route: Route) -> httpcore.Proxy | None:
    proxy = route.proxy
    if proxy is None:
        return None
    password = proxy.password.reveal().encode() if proxy.password else b""
    return httpcore.Proxy(
        httpcore.URL(scheme=proxy.scheme, host=proxy.host, port=proxy.port, target="/"),
        auth=(proxy.user.encode(), _Hidden(password)) if proxy.user or password else None,
        ssl_context=route.trust.context if route.trust and proxy.scheme == "https" else None,
    )
