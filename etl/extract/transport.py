"""
Sessions: clients of httpx for one API, directly or through a proxy, each used by one thread at a time.

httpx bounds each read, not their sum, and its own transport takes no sockets that keep a deadline. The one
here is as thin, over the same pool of httpcore, and brings those of `sockets`, with and without a proxy. A
pool may be shared by threads, but closing it under one that still reads is a race; here whoever used a
connection last closes it. Nothing else here knows httpx, and no type of it leaves.
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

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10.0
KEEPALIVE_SECONDS = 5.0
# What may stand in a URL as it is; a server may send anything in a `Location`.
_SAFE = "%/:=&?~#+!$,;'@()*[]"
_ERRORS: tuple[type[Exception], ...] = (
    *(httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """How an API is reached: through which proxy, if any, and with which certificates, if it is by TLS."""

    base_url: str
    proxy: Proxy | None
    trust: Trust | None

    @classmethod
    def find(cls, base_url: str, environment: Mapping[str, str] | None = None) -> Route:
        """Return the way that the environment says. Raises ConfigurationError if it cannot be used."""
        environment = os.environ if environment is None else environment
        if not _is_address(base_url):
            raise ConfigurationError("GCORE_BASE_URL has a host or a path that no URL can have: correct it")
        proxy = choose_proxy(base_url, environment)
        if proxy and proxy.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
            raise MissingExtra(f"a SOCKS proxy, as {proxy.variable} names it,", "socks")
        is_tls = "https" in {urlsplit(base_url).scheme.lower(), proxy and proxy.scheme}
        return cls(base_url, proxy, load_trust(environment) if is_tls else None)

    def __str__(self) -> str:
        way = f"through {self.proxy} ({self.proxy.address})" if self.proxy else "directly, without a proxy"
        return f"{self.base_url} is asked {way}" + (
            f"; trusted are {self.trust.source}" if self.trust else ""
        )


class Transport(httpx.BaseTransport):
    """
    One connection at most, kept open between requests, on which nothing outlasts `backend.deadline`.

    Raises what is in `errors` for failures of the network: errors of httpcore, whose causes say who failed.
    """

    def __init__(self, route: Route) -> None:
        scheme = route.proxy.scheme if route.proxy else None
        self.backend = Backend(scheme)
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
        """Send it, and return the answer once its head is there."""
        host = request.url.raw_host
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            # As it stands in a CONNECT.
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
            # One that failed behind a proxy's CONNECT would keep the only place in the pool.
            self._pool.close()
            raise
        return _Response(response.status, headers=response.headers, stream=_Body(response))

    def close(self) -> None:
        """Close the connection."""
        self._pool.close()


class _Response(httpx.Response):
    """Where a redirect leads to is decided by the client; httpx would fail at an address that is none."""

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
    """What asks the API, with the same headers every time; it keeps no cookies."""

    def __init__(self, route: Route, headers: Mapping[str, str], read_timeout: float) -> None:
        transport = Transport(route)
        self.backend, self.errors = transport.backend, transport.errors
        self._client = httpx.Client(
            transport=transport,
            headers=headers,
            # Without it, a user in the address of a redirect would take the place of the key.
            auth=lambda request: request,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            timeout=httpx.Timeout(read_timeout, connect=CONNECT_TIMEOUT),
            follow_redirects=False,
            trust_env=False,
        )

    @contextlib.contextmanager
    def get(self, url: str, *, deadline: float) -> Iterator[RawResponse]:
        """
        Send a request, and give the answer once its head is there; reading its body keeps the deadline, too.

        Raises what is in `errors`, for failures of the network, here and while the body is read.
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
    """At most so many sessions, each used by one thread at a time."""

    def __init__(self, open_session: Callable[[], Session], most: int) -> None:
        self._open = open_session
        self._free = threading.Semaphore(most)
        self._is_closed = False
        self._idle: list[Session] = []

    @contextlib.contextmanager
    def borrow(self, timeout: float) -> Iterator[Session]:
        """Give one to this thread alone. Raises TransientError if none is free in so many seconds."""
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
        """Close those that are idle; one in use is closed when it is given back."""
        self._is_closed = True
        while session := self._take():
            session.close()

    def _take(self) -> Session | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None


def redirected(url: str, location: bytes) -> str | None:
    """Return the address that a `Location` header leads to; None if it is no address."""
    try:
        # A server may write characters that stand in no URL.
        target = urljoin(url, quote(location, safe=_SAFE))
        origin_of(target)
    except ValueError:
        return None
    return target if _is_address(target) else None


def _is_address(url: str) -> bool:
    """Return whether httpx can ask for a URL; of the host of some it says so only when asked for it."""
    try:
        return bool(httpx.URL(url).host)
    except (httpx.InvalidURL, UnicodeError):
        return False


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of a URL, which may see the key only together."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or PORTS.get(parts.scheme)


@functools.cache
def warn_if_unencrypted(base_url: str) -> None:
    """Warn, once in a process, that the key can be read on the way to a host that is not near."""
    parts = urlsplit(base_url)
    if parts.scheme.lower() == "http" and not _is_near(parts.hostname or ""):
        logger.warning(
            "GCORE_BASE_URL begins with http://: the API key is sent unencrypted to %s; use https://",
            parts.hostname,
        )


def _is_near(host: str) -> bool:
    """Return whether a host is this machine or in its own network; a name without a dot is, too."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".local", ".internal"))
    return address.is_loopback or address.is_private or address.is_link_local


class _Hidden(bytes):
    """Bytes that do not print: httpcore logs the password of a SOCKS proxy."""

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
