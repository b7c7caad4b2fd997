"""
HTTP client of the API: adds URL, key and timeouts, decodes responses, turns status codes into errors.

Calls block. Threads may share a client.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, NoReturn, Self, TypeVar
from urllib.parse import quote, urlencode

from etl import __version__
from etl.errors import (
    BodyTooLarge,
    CredentialsRefused,
    FeatureDisabled,
    NotFound,
    NotTheApi,
    RequestRefused,
    SourceError,
    TlsRefused,
    UnreadablePage,
)
from etl.extract.body import ACCEPTED, PAGE_LIMIT, RESULT_LIMIT, wants_https
from etl.extract.decode import decode_page
from etl.extract.network_errors import refused_by_proxy
from etl.extract.payload import CorruptPage, Page, UnusableRecord
from etl.extract.rate_limiter import RateLimiter
from etl.extract.result import read_detail
from etl.extract.retry import Backoff, Retrier, TransientError, is_transient
from etl.extract.transport import Route, Session, warn_if_unencrypted
from etl.secret import clean, register_secret
from etl.stop import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from etl.extract.body import BodyLimit
    from etl.extract.response import Response
    from etl.extract.result import ResultPayload
    from etl.secret import Secret

T = TypeVar("T")

TASKS_PATH = "/streaming/ai/tasks"
READ_TIMEOUT = 30.0
# How long a request for one task is retried.
DETAIL_SECONDS = 3.0
MAX_PAGE_NUMBER = 1_000_000_000
# Stored in place of a record that is larger than the maximum size of a page.
TOO_LARGE = b"(too large to be read)"
_MAX_REDIRECTS = 5


class Client:
    """
    Reads AI tasks from one account; it never writes. Close it, or use it as a context manager.

    `stop` belongs to this client: setting it, or calling `close`, ends every wait and request with Stopped.
    """

    def __init__(  # noqa: PLR0913
        self,
        api_key: Secret,
        base_url: str = "https://api.gcore.com",
        *,
        concurrency: int = 4,
        retry_for: dt.timedelta = dt.timedelta(seconds=60),
        max_rate: float | None = None,
        read_timeout: float = READ_TIMEOUT,
        backoff: Backoff = Backoff(),  # noqa: B008 - frozen
        stop: Stop | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.concurrency = concurrency
        self.stop = stop or Stop()
        register_secret(api_key)
        self._lock = threading.Lock()
        # Sent so far, retries included.
        self.requests = 0
        self._is_enabled = False
        self._limiter = RateLimiter(max_rate, self.stop)
        self._retrier = Retrier(retry_for, self.stop, take_turn=self._limiter.wait, backoff=backoff)
        # Raises at once if a proxy or certificates cannot be used.
        self.route = Route.find(self.base_url)
        headers = {
            "Authorization": f"APIKey {api_key.reveal()}",
            "Accept": "application/json",
            "Accept-Encoding": ACCEPTED,
            # A response from a proxy's cache shows old tasks, and an old clock.
            "Cache-Control": "no-cache",
            "User-Agent": f"gcore-etl/{__version__}",
        }
        self._session = Session(
            self.route, headers, self.stop, max_connections=concurrency, read_timeout=read_timeout
        )
        self._large_body = threading.Lock()
        warn_if_unencrypted(self.base_url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every wait and close the connections; one in use is closed by the thread that uses it."""
        self.stop.set()
        self._session.close()

    def fetch_page(
        self, filters: Mapping[str, str], *, page: int, limit: int, retry_seconds: float | None = None
    ) -> Page:
        """
        Return one page of the list of tasks.

        `filters` are the parameters of the list except `page` (from 1) and `limit`. `retry_seconds` is how
        long a failed request is retried; by default, as long as the `retry_for` of this client.

        Raises NotFound for a 404, which some servers return past the end; CorruptPage if one of several
        records cannot be decoded; BodyTooLarge if several records exceed the maximum size; SourceError and
        ConfigurationError for failures that persist. A single record that is corrupt or too large is returned
        as an UnusableRecord.
        """
        query = {**filters, "page": str(page), "limit": str(limit)}

        def read(response: Response) -> Page:
            return decode_page(response.body, response.served_at, response.received_at)

        try:
            return self._get(TASKS_PATH, query, PAGE_LIMIT, read, retry_seconds=retry_seconds)
        except BodyTooLarge as error:
            # Only a successful response can be too large.
            self._is_enabled = True
            if limit > 1:
                raise
            if page == MAX_PAGE_NUMBER:
                raise BodyTooLarge(
                    f"{self.base_url} sends too much for every page: {error}: "
                    "check GCORE_BASE_URL, and whether a proxy modifies the responses of the API"
                ) from error
            # The record is the cause, unless a page without records is too large as well.
            with contextlib.suppress(NotFound, RequestRefused):
                self.fetch_page(filters, page=MAX_PAGE_NUMBER, limit=1, retry_seconds=retry_seconds)
            return Page(records=(UnusableRecord(TOO_LARGE, str(error)),))
        except CorruptPage:
            if limit > 1:
                raise
        # Request a record twice before it counts as corrupt.
        try:
            return self._get(TASKS_PATH, query, PAGE_LIMIT, read, retry_seconds=retry_seconds)
        except CorruptPage as error:
            return error.page

    def fetch_detail(self, task_id: str) -> ResultPayload:
        """
        Return one task with its result.

        A failed request is retried for a few seconds only, because the next sync repeats it. Raises NotFound
        for a 404 or 410, which some servers return for an expired result; otherwise the same as `fetch_page`.
        """
        path = f"{TASKS_PATH}/{quote(task_id, safe='')}"
        return self._get(
            path, {}, RESULT_LIMIT, lambda response: read_detail(response.body), retry_seconds=DETAIL_SECONDS
        )

    def _get(
        self,
        path: str,
        query: Mapping[str, str],
        limit: BodyLimit,
        read: Callable[[Response], T],
        *,
        retry_seconds: float | None,
    ) -> T:
        url = f"{self.base_url}{path}" + (f"?{urlencode(query, quote_via=quote)}" if query else "")

        def attempt(deadline: float) -> T:
            # Only one thread at a time reads and decodes a large body; leaving this block releases the lock.
            with contextlib.ExitStack() as turn:
                response = self._send(url, deadline, limit, turn)
                if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
                    self._limiter.on_throttled()
                else:
                    self._limiter.on_success()
                if response.status_code != HTTPStatus.OK:
                    self._refuse(response, path)
                self._is_enabled = True
                try:
                    return read(response)
                except (CorruptPage, BodyTooLarge):
                    raise
                except UnreadablePage as error:
                    message = self._not_the_api(response) if response.is_html else error
                    raise TransientError(str(message)) from error

        return self._retrier.call(attempt, f"GET {path}", retry_seconds=retry_seconds)

    def _send(self, url: str, deadline: float, limit: BodyLimit, turn: contextlib.ExitStack) -> Response:
        """Return the response at the end of all redirects; it holds the `turn` if its body is large."""
        for _ in range(_MAX_REDIRECTS):
            with self._lock:
                self.requests += 1
            seconds = max(0.1, deadline - time.monotonic())
            response = self._session.get(
                url, seconds, limit, lambda: turn.enter_context(self._turn_for_large())
            )
            if response.location is None:
                return response
            url = self._session.redirected(url, response.location)
        raise SourceError(f"{self.base_url} redirects too many times: check GCORE_BASE_URL")

    @contextlib.contextmanager
    def _turn_for_large(self) -> Iterator[None]:
        """Hold the lock for large bodies; the time spent waiting for it extends the request's deadline."""
        start = time.monotonic()
        while not self._large_body.acquire(timeout=0.25):
            self.stop.check()
        try:
            self._session.extend(time.monotonic() - start)
            yield
        finally:
            self._large_body.release()

    def _not_the_api(self, response: Response) -> NotTheApi:
        return NotTheApi(response.status_code, self.base_url, proxy=str(self.route.proxy or ""))

    def _refuse(self, response: Response, path: str) -> NoReturn:
        status = response.status_code
        detail = clean(response.message())
        if is_transient(status):
            message = str(self._not_the_api(response)) if response.is_html else f"HTTP {status}"
            raise TransientError(
                message + (f" ({detail})" if detail else ""),
                response.retry_after,
                is_throttled=status == HTTPStatus.TOO_MANY_REQUESTS,
            )
        if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            raise refused_by_proxy(self.route)
        if status == HTTPStatus.BAD_REQUEST and wants_https(response.body):
            raise TlsRefused(f"{self.base_url} expects TLS on this port: write https:// in GCORE_BASE_URL")
        if response.is_html:
            raise self._not_the_api(response)
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise CredentialsRefused(status, self.base_url)
        if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
            raise NotFound(status, path)
        # After a successful response, a 422 refers to the request: its page size or a filter.
        if status == HTTPStatus.UNPROCESSABLE_ENTITY and not self._is_enabled:
            raise FeatureDisabled(detail)
        raise RequestRefused(status, path, detail)
