"""
The walk over one list, page by page, without losing what lies between two pages.

Each answer is one slice of the list at one instant. The list is ordered by `task_id`, which never changes,
and each slice is asked for so that it begins before the end of the last. If two neighbouring slices share a
record, nothing that existed throughout can lie between them; if they share none, the walk steps back.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import deque
from typing import TYPE_CHECKING, Protocol

from etl.errors import DriftingPages, NotThere, PageLoop, RunawayScan
from etl.extract.parallel import DaemonPool
from etl.extract.payload import Page, TaskPayload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Future

    from etl.extract.payload import Record

logger = logging.getLogger(__name__)

MOST_MISSES = 50
# The first records of slices are landmarks. Drift moves one by a slice or two, not again and again by more.
MOST_LANDMARKS, NEAR, MOST_RETURNS = 1000, 2, 5
# How much longer than it claims to be a list may get before the walk gives up.
RUNAWAY_FACTOR, RUNAWAY_SLACK = 10, 1_000_000


class PageSource(Protocol):
    """What the walk needs of a client."""

    concurrency: int

    def fetch_page(self, filters: Mapping[str, str], *, page: int, limit: int) -> Page:
        """Read one page."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Span:
    """A page number and a limit, and so a place in the list."""

    page: int
    limit: int

    @property
    def start(self) -> int:
        """The position of its first record."""
        return (self.page - 1) * self.limit

    @property
    def end(self) -> int:
        """The position behind its last record."""
        return self.page * self.limit


def overlapping_span(position: int, granted: int) -> Span:
    """
    Choose the page that begins before `position` and reaches furthest beyond it.

    A page can only begin at a multiple of its limit, and the limit can be anything up to `granted`. A place
    that all of these divide (2,520 for limits up to 10) allows no overlap: then the page begins right there.
    """
    if position <= 0:
        return Span(1, granted)
    spans = (Span((position - 1) // limit + 1, limit) for limit in range(granted, 0, -1))
    best = max(spans, key=lambda span: span.end)
    return best if best.end > position else Span(position // granted + 1, granted)


class Walk:
    """
    One pass over one list; iterating gives pages that hold only what the page before did not.

    `granted` is the page size that the server turned out to grant, `None` while no page was full.
    """

    def __init__(self, source: PageSource, filters: Mapping[str, str], *, page_size: int) -> None:
        self.granted: int | None = None
        self._source = source
        self._filters = {"ordering": "task_id", **filters}
        self._page_size = page_size
        self._landmarks: dict[str | bytes, int] = {}
        self._misses = self._returns = self._slices = self._read = self._claimed = 0

    def __iter__(self) -> Iterator[Page]:
        span = Span(1, self._page_size)
        page = self._fetch(span)
        yield page
        if self._is_end(span, page, fresh=len(page.records)):
            return
        self._learn(span, page)
        with DaemonPool(self._source.concurrency) as pool:
            yield from self._follow(span, page, pool)

    def _follow(self, span: Span, page: Page, pool: DaemonPool) -> Iterator[Page]:
        """Go on from the first page, a few requests ahead."""
        ahead = _Ahead(self._fetch, pool, self._source.concurrency)
        known = _keys(page)
        position = span.start + len(page.records)
        while True:
            granted = self.granted or self._page_size
            span, page = ahead.take(position, granted, page.count)
            keys = _keys(page)
            is_bridge = span.start < position
            if not is_bridge and not keys:
                return
            if is_bridge and not self._joins(span, keys, known):
                position = self._step_back(position, page)
                continue
            fresh = tuple(record for record in page.records if _key(record) not in known)
            self._guard(span, page, keys, len(fresh))
            yield dataclasses.replace(page, records=fresh)
            if self._is_end(span, page, fresh=len(fresh)):
                return
            self._learn(span, page)
            known, position = keys, span.start + len(page.records)

    def _fetch(self, span: Span) -> Page:
        try:
            return self._source.fetch_page(self._filters, page=span.page, limit=span.limit)
        except NotThere:
            if span.page == 1:
                raise
            return Page(records=())

    def _joins(self, span: Span, keys: set[str | bytes], known: set[str | bytes]) -> bool:
        """Tell whether nothing can lie between this slice and the last; a slice from the top always joins."""
        return span.start == 0 or not keys.isdisjoint(known)

    def _step_back(self, position: int, page: Page) -> int:
        """Begin the next slice further up: the list moved up under the cursor, or ended before it."""
        self._misses += 1
        if self._misses > MOST_MISSES:
            raise DriftingPages(
                f"the list of tasks moved under the cursor {MOST_MISSES} times; "
                "try again when fewer tasks are being deleted"
            )
        step = max(1, (self.granted or self._page_size) // 2)
        logger.info("page drift", extra={"position": position, "count": page.count})
        return max(0, position - step)

    def _learn(self, span: Span, page: Page) -> None:
        """Take a slice shorter than asked, with more behind it, for the server's page size."""
        granted = min(span.limit, max(1, len(page.records)))
        if self.granted is None or granted < span.limit:
            self.granted = granted

    def _is_end(self, span: Span, page: Page, *, fresh: int) -> bool:
        """
        Tell whether this slice reached the end of the list as it was at that instant.

        A short slice alone proves nothing, for the server may have granted less than asked: its own count
        must agree, or a slice that begins with known records must hold nothing else.
        """
        size = len(page.records)
        if size == 0:
            return True
        if size >= span.limit:
            return False
        if page.count == span.start + size and not page.has_next:
            return True
        return fresh == 0

    def _guard(self, span: Span, page: Page, keys: set[str | bytes], fresh: int) -> None:
        """Notice a walk that comes by the same places again, or that never ends."""
        self._slices += 1
        landmarks = keys & self._landmarks.keys()
        came_back = any(self._slices - self._landmarks[key] > NEAR for key in landmarks)
        self._returns = self._returns + 1 if came_back else 0
        if self._returns > MOST_RETURNS:
            raise PageLoop(span.page)
        if page.records and len(self._landmarks) < MOST_LANDMARKS:
            self._landmarks.setdefault(_key(page.records[0]), self._slices)
        self._read += fresh
        self._claimed = max(self._claimed, page.count or 0)
        if self._read > RUNAWAY_FACTOR * self._claimed + RUNAWAY_SLACK:
            raise RunawayScan(
                f"the API says it has {self._claimed:,} tasks but has listed {self._read:,}, and does not end"
            )


class _Ahead:
    """Keeps a few requests under way beyond the place that is being read."""

    def __init__(self, fetch: Callable[[Span], Page], pool: DaemonPool, concurrency: int) -> None:
        self._fetch, self._pool, self._concurrency = fetch, pool, concurrency
        self._queue: deque[tuple[int, Span, Future[Page]]] = deque()

    def take(self, position: int, granted: int, count: int | None) -> tuple[Span, Page]:
        """Give the slice that joins `position`; what was fetched for another place is dropped."""
        if not self._queue or self._queue[0][0] != position or self._queue[0][1].limit > granted:
            for _, _, future in self._queue:
                future.cancel()
            self._queue.clear()
            self._send(position, granted)
        while len(self._queue) < self._concurrency:
            last = self._queue[-1][1]
            if count is not None and last.end >= count:
                break
            self._send(last.end, granted)
        _, span, future = self._queue.popleft()
        return span, future.result()

    def _send(self, position: int, granted: int) -> None:
        span = overlapping_span(position, granted)
        self._queue.append((position, span, self._pool.submit(lambda: self._fetch(span))))


def _key(record: Record) -> str | bytes:
    return record.task_id if isinstance(record, TaskPayload) else record.raw


def _keys(page: Page) -> set[str | bytes]:
    return {_key(record) for record in page.records}
