"""
One request in, one decoded answer out: address, key, timeouts, status code to error.

With `transport` and `lean_httpx`, all that knows httpx; no type of it leaves. Blocking calls: several threads
may share one client.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import threading
import time
import urllib.request
from typing import TYPE_CHECKING, NoReturn, Self, TypeVar
from urllib.parse import quote

import msgspec

from etl import __version__
from etl.errors import (
    ConfigurationError,
    CredentialsRefused,
    FeatureDisabled,
    ForeignRedirect,
    NotThere,
    RequestRefused,
    SourceError,
    UnreadablePage,
)
from etl.extract.lean_httpx import httpx
from etl.extract.pacer import Pacer
from etl.extract.parse import parse_page
from etl.extract.payload import Page, SpoiltPage
from etl.extract.result import parse_detail
from etl.extract.retry import Retrier, TransientError, is_transient, parse_retry_after
from etl.extract.transport import BoundedTransport, Sessions
from etl.secret import clean, keep_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from etl.extract.result import ResultPayload
    from etl.secret import Secret

T = TypeVar("T")

TASKS_PATH = "/streaming/ai/tasks"
CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 30.0
# Seconds for which a task's own page is retried.
DETAIL_PATIENCE = 3.0
_LONGEST_MESSAGE = 200
_MOST_REDIRECTS = 5
# An earlier `Date` than this is no clock but a default.
_EARLIEST_SENSIBLE = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


class Client:
    """Reads AI tasks from one account; it has no method that writes. Close it, or use it in `with`."""

    def __init__(  # noqa: PLR0913
        self,
        api_key: Secret,
        base_url: str = "https://api.gcore.com",
        *,
        concurrency: int = 4,
        retry_for: dt.timedelta = dt.timedelta(seconds=60),
        max_rate: float | None = None,
        read_timeout: float = READ_TIMEOUT,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.concurrency = concurrency
        self.stopping = threading.Event()
        keep_secret(api_key)
        self._read_timeout = read_timeout
        self._lock = threading.Lock()
        self._requests = 0
        self._is_enabled = False
        self._pacer = Pacer(max_rate, self.stopping)
        self._retrier = Retrier(retry_for, self.stopping, take_turn=self._pacer.wait)
        self._sessions = _open_sessions(api_key, concurrency)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every wait and give the connections back, those in use once their answer is there."""
        self.stopping.set()
        self._sessions.close()

    @property
    def requests(self) -> int:
        """How many requests were sent, retries included."""
        return self._requests

    def fetch_page(
        self, filters: Mapping[str, str], *, page: int, limit: int, patience: float | None = None
    ) -> Page:
        """
        Return one page of the list of tasks.

        `filters` are the parameters of the list except `page` (from 1) and `limit`; `patience` is for how
        many seconds a failed request is retried, `retry_for` by default. Raises NotThere for a 404, which
        some servers answer past the end; SpoiltPage if one record of several cannot be read (a single one is
        returned as an UnusableRecord); SourceError and ConfigurationError for what no retry cured.
        """
        query = {**filters, "page": str(page), "limit": str(limit)}

        def read(answer: _Answer) -> Page:
            return parse_page(answer.body, answer.served_at, answer.received_at)

        try:
            return self._get(TASKS_PATH, query, read, patience=patience)
        except SpoiltPage:
            if limit > 1:
                raise
        # Before one record is taken for spoilt, it is looked at twice.
        try:
            return self._get(TASKS_PATH, query, read, patience=patience)
        except SpoiltPage as error:
            return error.page

    def fetch_detail(self, task_id: str) -> ResultPayload:
        """
        Return one task with its result.

        A failed request is retried for a few seconds only, because the next sync asks again. Raises NotThere
        for a 404 or 410, which some servers answer for an expired result; otherwise what `fetch_page` raises.
        """
        path = f"{TASKS_PATH}/{quote(task_id, safe='')}"
        return self._get(path, {}, lambda answer: parse_detail(answer.body), patience=DETAIL_PATIENCE)

    def _get(
        self,
        path: str,
        query: Mapping[str, str],
        read: Callable[[_Answer], T],
        *,
        patience: float | None,
    ) -> T:
        def attempt(deadline: float) -> T:
            answer = self._send(path, query, deadline)
            if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
                self._pacer.refused()
            else:
                self._pacer.passed()
            if answer.status_code != httpx.codes.OK:
                self._refuse(answer, path)
            self._is_enabled = True
            try:
                return read(answer)
            except SpoiltPage:
                raise
            except UnreadablePage as error:
                raise TransientError(str(error)) from error

        return self._retrier.call(attempt, f"GET {path}", patience=patience)

    def _send(self, path: str, query: Mapping[str, str], deadline: float) -> _Answer:
        url = httpx.URL(f"{self.base_url}{path}", params=query)
        try:
            for _ in range(_MOST_REDIRECTS):
                answer = self._exchange(url, deadline)
                if answer.location is None:
                    return answer
                url = self._redirected(url, answer.location)
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise TransientError(f"{self.base_url}: {clean(_reason(error))}") from None
        raise SourceError(f"{self.base_url} redirects in circles: check GCORE_BASE_URL")

    def _exchange(self, url: httpx.URL, deadline: float) -> _Answer:
        with self._lock:
            self._requests += 1
        left = max(0.1, deadline - time.monotonic())
        timeout = httpx.Timeout(min(self._read_timeout, left), connect=min(CONNECT_TIMEOUT, left))
        extensions = {"deadline": time.monotonic() + left}
        with (
            self._sessions.borrow(left) as session,
            session.stream("GET", url, timeout=timeout, extensions=extensions) as response,
        ):
            chunks = []
            for chunk in response.iter_bytes():
                chunks.append(chunk)
                if time.monotonic() > deadline:
                    raise TransientError("the answer comes too slowly")
            return _Answer(response, b"".join(chunks))

    def _redirected(self, origin: httpx.URL, location: str) -> httpx.URL:
        target = origin.join(location)
        if (target.scheme, target.netloc) != (origin.scheme, origin.netloc):
            shown = f"{target.scheme}://{target.netloc.decode()}"
            raise ForeignRedirect(self.base_url, clean(shown))
        return target

    def _refuse(self, answer: _Answer, path: str) -> NoReturn:
        status = answer.status_code
        message = clean(answer.message())
        if is_transient(status):
            raise TransientError(
                f"HTTP {status}" + (f" ({message})" if message else ""),
                parse_retry_after(answer.retry_after, answer.served_at or dt.datetime.now(dt.UTC)),
                is_throttled=status == httpx.codes.TOO_MANY_REQUESTS,
            )
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise CredentialsRefused(status, self.base_url)
        if status in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
            raise NotThere(status, path)
        # Once the API has answered, a 422 is about what was asked for: a page size, a filter.
        if status == httpx.codes.UNPROCESSABLE_ENTITY and not self._is_enabled:
            raise FeatureDisabled(message)
        raise RequestRefused(status, path, message)


class _Answer:
    """What is kept of a response once its connection is free again."""

    def __init__(self, response: httpx.Response, body: bytes) -> None:
        self.status_code = response.status_code
        self.body = body
        self.received_at = time.monotonic()
        self.served_at = parse_date(response.headers.get("date"))
        self.retry_after: str | None = response.headers.get("retry-after")
        self.location: str | None = (
            response.headers.get("location") if response.has_redirect_location else None
        )

    def message(self) -> str:
        """Give the server's own words, one line of them; nothing of a page of HTML."""
        try:
            body = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return ""
        if not isinstance(body, dict):
            return ""
        words = str(next((body[name] for name in ("error", "message", "detail") if body.get(name)), ""))
        # A control character would upset a terminal, and Postgres takes none that is zero.
        printable = "".join(character if character.isprintable() else " " for character in words)
        return " ".join(printable.split())[:_LONGEST_MESSAGE]


def _open_sessions(api_key: Secret, most: int) -> Sessions:
    has_proxy = not {"http", "https", "all"}.isdisjoint(urllib.request.getproxies())
    headers = {
        "Authorization": f"APIKey {api_key.reveal()}",
        "Accept": "application/json",
        # A stored answer of a proxy shows tasks, and a clock, of earlier.
        "Cache-Control": "no-cache",
        "User-Agent": f"gcore-etl/{__version__}",
    }
    try:
        context = httpx.create_ssl_context()

        def open_session() -> httpx.Client:
            # httpx asks the environment for proxies only if it makes the transports itself.
            transport = None if has_proxy else BoundedTransport(context)
            return httpx.Client(headers=headers, verify=context, transport=transport, follow_redirects=False)

        return Sessions(open_session, most)
    except ImportError as error:
        raise ConfigurationError(f"the proxy in the environment cannot be used: {error}") from None
    except (ValueError, OSError, httpx.InvalidURL):
        # Their messages may hold the password of a proxy.
        raise ConfigurationError(
            "no connection can be made with the proxy and certificates that the environment names: check "
            "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR"
        ) from None


def parse_date(header: str | None) -> dt.datetime | None:
    """Read the server's clock from a `Date` header (RFC 9110, section 6.6.1); None if it makes no sense."""
    try:
        moment = email.utils.parsedate_to_datetime(header or "")
        moment = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment >= _EARLIEST_SENSIBLE else None


def _reason(error: httpx.RequestError) -> str:
    words = " ".join(str(error).split())[:_LONGEST_MESSAGE]
    if isinstance(error, httpx.TimeoutException):
        return "no connection in time" if isinstance(error, httpx.ConnectTimeout) else "no answer in time"
    return words or type(error).__name__
