"""
One request in, one decoded response out: URL, key, timeouts, status codes to errors.

Calls block; threads may share one client.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, NoReturn, Self, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from etl import __version__
from etl.errors import (
    BodyTooLarge,
    CredentialsRefused,
    FeatureDisabled,
    ForeignRedirect,
    NotFound,
    NotTheApi,
    RequestRefused,
    SourceError,
    TlsRefused,
    UnreadablePage,
)
from etl.extract.body import (
    ACCEPTED,
    OF_PAGE,
    OF_RESULT,
    wants_https,
)
from etl.extract.decode import decode_page
from etl.extract.network_errors import explain, refused_by_proxy
from etl.extract.payload import CorruptPage, Page, UnusableRecord
from etl.extract.rate_limiter import RateLimiter
from etl.extract.response import Response
from etl.extract.result import read_detail
from etl.extract.retry import Backoff, Retrier, TransientError, is_transient, parse_retry_after
from etl.extract.transport import Route, Session, Sessions, origin_of, redirected, warn_if_unencrypted
from etl.secret import clean, register_secret
from etl.stop import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from etl.extract.body import Ceiling
    from etl.extract.result import ResultPayload
    from etl.secret import Secret

T = TypeVar("T")

TASKS_PATH = "/streaming/ai/tasks"
READ_TIMEOUT = 30.0
# Seconds for which a request for one task is retried.
DETAIL_PATIENCE = 3.0
MAX_PAGE_NUMBER = 1_000_000_000
# Stored in place of a record that is larger than a page may be.
TOO_LARGE = b"(too large to be read)"
_MAX_REDIRECTS = 5


class Client:
    """
    Reads AI tasks from one account; it has no method that writes. Close it, or use it in `with`.

    `stop` belongs to this client: setting it ends every wait and request with Stopped, and so does `close`.
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
        self._requests = 0
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
        self._sessions = Sessions(lambda: Session(self.route, headers, read_timeout, self.stop), concurrency)
        self._large_body = threading.Lock()
        warn_if_unencrypted(self.base_url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every wait, and close the connections: those in use when their thread returns them."""
        self.stop.set()
        self._sessions.close()

    @property
    def requests(self) -> int:
        """The number of requests sent, retries included."""
        return self._requests

    def fetch_page(
        self, filters: Mapping[str, str], *, page: int, limit: int, patience: float | None = None
    ) -> Page:
        """
        Return one page of the list of tasks.

        `filters` are the parameters of the list except `page` (from 1) and `limit`; `patience` is for how
        many seconds a failed request is retried, `retry_for` by default. Raises NotFound for a 404, which
        some servers return past the end; CorruptPage if one record of several cannot be decoded, BodyTooLarge
        if they exceed the maximum size (a single such record is returned as an UnusableRecord); SourceError
        and ConfigurationError for failures that persist.
        """
        query = {**filters, "page": str(page), "limit": str(limit)}

        def read(answer: Response) -> Page:
            return decode_page(answer.body, answer.served_at, answer.received_at)

        try:
            return self._get(TASKS_PATH, query, OF_PAGE, read, patience=patience)
        except BodyTooLarge as error:
            if limit > 1:
                raise
            if page == MAX_PAGE_NUMBER:
                raise BodyTooLarge(
                    f"{self.base_url} sends too much whichever page is asked for: {error}: "
                    "check GCORE_BASE_URL, and whether a proxy changes what the API sends"
                ) from error
            # The record is to blame, unless a page without records is as large.
            with contextlib.suppress(NotFound):
                self.fetch_page(filters, page=MAX_PAGE_NUMBER, limit=1, patience=patience)
            return Page(records=(UnusableRecord(TOO_LARGE, str(error)),))
        except CorruptPage:
            if limit > 1:
                raise
        # Request a record twice before it counts as corrupt.
        try:
            return self._get(TASKS_PATH, query, OF_PAGE, read, patience=patience)
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
            path, {}, OF_RESULT, lambda answer: read_detail(answer.body), patience=DETAIL_PATIENCE
        )

    def _get(
        self,
        path: str,
        query: Mapping[str, str],
        ceiling: Ceiling,
        read: Callable[[Response], T],
        *,
        patience: float | None,
    ) -> T:
        def attempt(deadline: float) -> T:
            # Only one thread at a time reads and decodes a large body; this block ends its turn.
            with contextlib.ExitStack() as turn:
                answer = self._send(path, query, lambda url: self._exchange(url, deadline, ceiling, turn))
                if answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
                    self._limiter.on_throttled()
                else:
                    self._limiter.on_success()
                if answer.status_code != HTTPStatus.OK:
                    self._refuse(answer, path)
                self._is_enabled = True
                try:
                    return read(answer)
                except (CorruptPage, BodyTooLarge):
                    raise
                except UnreadablePage as error:
                    words = self._not_the_api(answer) if answer.is_html else error
                    raise TransientError(str(words)) from error

        return self._retrier.call(attempt, f"GET {path}", patience=patience)

    def _send(self, path: str, query: Mapping[str, str], exchange: Callable[[str], Response]) -> Response:
        url = f"{self.base_url}{path}" + (f"?{urlencode(query, quote_via=quote)}" if query else "")
        for _ in range(_MAX_REDIRECTS):
            answer = exchange(url)
            if answer.location is None:
                return answer
            url = self._redirected(url, answer.location)
        raise SourceError(f"{self.base_url} redirects in circles: check GCORE_BASE_URL")

    def _exchange(self, url: str, deadline: float, ceiling: Ceiling, turn: contextlib.ExitStack) -> Response:
        with self._lock:
            self._requests += 1
        left = max(0.1, deadline - time.monotonic())
        with self._sessions.borrow(left) as session:
            try:
                with session.get(url, deadline=time.monotonic() + left) as reply:
                    return Response(reply, ceiling, lambda: turn.enter_context(self._turn_for_large(session)))
            except session.errors as error:
                kind, words = explain(error, self.route, session.backend)
                raise kind(words) from None

    @contextlib.contextmanager
    def _turn_for_large(self, session: Session) -> Iterator[None]:
        """Hold the lock for large bodies; the time spent waiting for it extends the request's deadline."""
        start = time.monotonic()
        while not self._large_body.acquire(timeout=0.25):
            self.stop.check()
        try:
            session.backend.deadline += time.monotonic() - start
            yield
        finally:
            self._large_body.release()

    def _redirected(self, url: str, location: bytes) -> str:
        target = redirected(url, location)
        if target is None:
            raise SourceError(f"{self.base_url} redirects to an invalid URL: check GCORE_BASE_URL")
        if origin_of(target) != origin_of(url):
            parts = urlsplit(target)
            shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
            raise ForeignRedirect(self.base_url, clean(shown))
        return target

    def _not_the_api(self, answer: Response) -> NotTheApi:
        return NotTheApi(answer.status_code, self.base_url, proxy=str(self.route.proxy or ""))

    def _refuse(self, answer: Response, path: str) -> NoReturn:
        status = answer.status_code
        message = clean(answer.message())
        if is_transient(status):
            words = str(self._not_the_api(answer)) if answer.is_html else f"HTTP {status}"
            raise TransientError(
                words + (f" ({message})" if message else ""),
                parse_retry_after(answer.retry_after, answer.served_at or dt.datetime.now(dt.UTC)),
                is_throttled=status == HTTPStatus.TOO_MANY_REQUESTS,
            )
        if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            kind, words = refused_by_proxy(self.route)
            raise kind(words)
        if status == HTTPStatus.BAD_REQUEST and wants_https(answer.body):
            raise TlsRefused(f"{self.base_url} expects TLS on this port: write https:// in GCORE_BASE_URL")
        if answer.is_html:
            raise self._not_the_api(answer)
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise CredentialsRefused(status, self.base_url)
        if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
            raise NotFound(status, path)
        # After a successful response, a 422 is about the request: a page size, a filter.
        if status == HTTPStatus.UNPROCESSABLE_ENTITY and not self._is_enabled:
            raise FeatureDisabled(message)
        raise RequestRefused(status, path, message)
