"""
Requests to one API, direct or through a proxy, from any number of threads.

httpx limits the time of each read, not their sum, and its own transport does not accept other sockets. The
transport here is as thin: it sends requests of httpx over the connections of httpcore, with the sockets of
`sockets`, which keep a deadline per thread. A `httpx.Client` around it would cost CPU time in every request,
for cookies, redirects and credentials that are not used. Only this module uses httpx, and no httpx type
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
import time
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin, urlsplit

import httpcore

from etl.errors import ConfigurationError, ForeignRedirect, MissingExtra, SourceError
from etl.extract.certificates import Trust, load_trust
from etl.extract.lean_httpx import httpx
from etl.extract.network_errors import explain
from etl.extract.proxies import PORTS, Proxy, choose_proxy
from etl.extract.response import Response
from etl.extract.retry import TransientError
from etl.extract.sockets import Backend
from etl.secret import MASK, clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from etl.extract.body import BodyLimit
    from etl.stop import Stop

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10.0
KEEPALIVE_SECONDS = 5.0
# Characters that need no quoting in a URL; a server may send anything in a `Location`.
_SAFE = "%/:=&?~#+!$,;'@()*[]"


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


class Transport:
    """
    Sends requests to one API, each on a connection of its own. Network failures raise errors of httpcore.

    httpcore knows how to open a connection, whatever the proxy. Its pool, however, may close a connection
    that it has found idle while another thread begins to use it; that thread then reads from a closed file
    descriptor, or from one that another connection was given meanwhile. Here, whoever takes an idle
    connection is the only one to use or close it.
    """

    def __init__(self, route: Route, max_connections: int, backend: Backend) -> None:
        self._backend = backend
        self._factory = httpcore.ConnectionPool(
            network_backend=backend,
            ssl_context=route.trust.context if route.trust else None,
            proxy=_proxy_of(route),
            keepalive_expiry=KEEPALIVE_SECONDS,
        )
        self._places = threading.BoundedSemaphore(max_connections)
        self._lock = threading.Lock()
        self._idle: list[httpcore.ConnectionInterface] = []

    @contextlib.contextmanager
    def sent(self, request: httpx.Request) -> Iterator[httpcore.Response]:
        """Send a request; yield the response when its headers have arrived, and close it after the block."""
        host = request.url.raw_host
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            # As in a CONNECT request.
            host=b"[%b]" % host if b":" in host else host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        self._backend.acquire(self._places)
        try:
            connection = self._take_idle() or self._factory.create_connection(url.origin)
            try:
                response = connection.handle_request(
                    httpcore.Request(
                        request.method, url, headers=request.headers.raw, extensions=request.extensions
                    )
                )
            except BaseException:
                connection.close()
                # httpcore forgets a socket on which a SOCKS handshake failed.
                self._backend.abandon()
                raise
            try:
                yield response
            finally:
                response.close()
                self._give_back(connection)
        finally:
            self._places.release()

    def close(self) -> None:
        """Close the idle connections; the others are closed by the requests that use them."""
        while (connection := self._pop_idle()) is not None:
            connection.close()

    def _take_idle(self) -> httpcore.ConnectionInterface | None:
        """Return an idle connection that the server has not closed, if there is one."""
        while (connection := self._pop_idle()) is not None:
            if not connection.has_expired():
                return connection
            connection.close()
        return None

    def _pop_idle(self) -> httpcore.ConnectionInterface | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _give_back(self, connection: httpcore.ConnectionInterface) -> None:
        # It is not idle if its response was not read to the end; then it has been closed.
        if connection.is_idle():
            with self._lock:
                self._idle.append(connection)


class Session:
    """
    Sends requests with the same headers each time; credentials in a URL and cookies are ignored.

    After `stop` is set, a request ends within a tenth of a second, and its thread closes the connection.
    """

    def __init__(
        self,
        route: Route,
        headers: Mapping[str, str],
        stop: Stop,
        *,
        max_connections: int,
        read_timeout: float,
    ) -> None:
        scheme = route.proxy.scheme if route.proxy else None
        self._route, self._stop = route, stop
        self._backend = Backend(scheme, stop)
        self._transport = Transport(route, max_connections, self._backend)
        self._headers = httpx.Headers({"Connection": "keep-alive", **headers})
        timeout = httpx.Timeout(read_timeout, connect=CONNECT_TIMEOUT)
        self._extensions = {"timeout": timeout.as_dict()}
        self._errors: tuple[type[Exception], ...] = (
            *(httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError),
        )
        if scheme in {"socks5", "socks5h"}:
            import socksio  # noqa: PLC0415 - an extra

            self._errors += (socksio.SOCKSError,)

    def get(self, url: str, seconds: float, limit: BodyLimit, before_large: Callable[[], object]) -> Response:
        """
        Return the response to a request; the time includes its body, which is read as by `read_body`.

        Network failures raise the error that `explain` chooses for them.
        """
        self._backend.begin(time.monotonic() + seconds)
        request = httpx.Request("GET", url, headers=self._headers, extensions=self._extensions)
        try:
            with self._transport.sent(request) as reply:
                return Response(reply.status, reply.headers, reply.iter_stream(), limit, before_large)
        except httpcore.PoolTimeout:
            raise TransientError("no connection was free in time") from None
        except self._errors as error:
            raise explain(error, self._route, self._backend.request_state) from None
        finally:
            if self._stop.is_set():
                self.close()

    def redirected(self, url: str, location: bytes) -> str:
        """
        Return the URL that a `Location` header points to. Raises SourceError if it is not valid.

        Raises ForeignRedirect if its scheme, host or port is another: the key is not sent there.
        """
        base_url = self._route.base_url
        try:
            # A server may send characters that are not allowed in a URL.
            target = urljoin(url, quote(location, safe=_SAFE))
            is_same = _origin_of(target) == _origin_of(url)
        except ValueError:
            target, is_same = "", False
        if not _is_address(target):
            raise SourceError(f"{base_url} redirects to an invalid URL: check GCORE_BASE_URL")
        if not is_same:
            parts = urlsplit(target)
            raise ForeignRedirect(base_url, clean(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"))
        return target

    def extend(self, seconds: float) -> None:
        """Let this thread's request take longer."""
        self._backend.request_state.deadline += seconds

    def close(self) -> None:
        """Close the idle connections; set `stop` before. One in use is closed by the thread that uses it."""
        self._transport.close()


def _is_address(url: str) -> bool:
    """Return whether httpx accepts a URL; for some it only raises when the host is read."""
    try:
        return bool(httpx.URL(url).host)
    except (httpx.InvalidURL, UnicodeError):
        return False


def _origin_of(url: str) -> tuple[str, str, int | None]:
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
