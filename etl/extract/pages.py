"""
The walk over one list, page by page, without losing what lies between two pages.

Each answer is one slice of the list at one instant. The list is ordered by `task_id`, which never changes,
and each slice is asked for so that it begins before the end of the last. If two neighbouring slices share a
record, nothing that existed throughout can lie between them; if they share none, the walk steps back.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
from typing import TYPE_CHECKING, Protocol

from etl.errors import DriftingPages, NotThere, PageLoop, RunawayScan
from etl.extract.parallel import DaemonPool
from etl.extract.payload import Page, SpoiltPage, TaskPayload
from etl.extract.spans import Ahead, Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import Future

    from etl.extract.payload import Record

logger = logging.getLogger(__name__)

MOST_MISSES = 50
# The first records of slices are landmarks. Drift moves one by a slice or two, not again and again by more.
MOST_LANDMARKS, NEAR, MOST_RETURNS = 1000, 2, 20
# How much longer than it claims to be a list may get before the walk gives up.
RUNAWAY_FACTOR, RUNAWAY_SLACK = 10, 1_000_000


class PageSource(Protocol):
    """What the walk needs of a client."""

    concurrency: int

    def fetch_page(self, filters: Mapping[str, str], *, page: int, limit: int) -> Page:
        """Read one page."""
        ...


class Walk:
    """
    One pass over one list; iterating gives pages that hold only what the page before did not.

    `granted` is the page size that the server turned out to grant, `None` while no page was full;
    `is_ordered` whether the ids came in ascending order, without which nothing is proved; `slices` how many
    were read. Without `is_by_id` the list comes in the server's default order.
    """

    def __init__(
        self, source: PageSource, filters: Mapping[str, str], *, page_size: int, is_by_id: bool = True
    ) -> None:
        self.granted: int | None = None
        self.is_ordered = is_by_id
        self.slices = 0
        self._source = source
        self._filters = {"ordering": "task_id", **filters} if is_by_id else dict(filters)
        self._limit = self._page_size = page_size
        self._landmarks: dict[str | bytes, int] = {}
        self._misses = self._returns = self._read = self._claimed = 0

    def __iter__(self) -> Iterator[Page]:
        with DaemonPool(self._source.concurrency) as pool:
            ahead = Ahead(self._fetch, pool, self._source.concurrency)
            known: set[str | bytes] = set()
            # Until the first answer nobody knows whether there is anything to be asked for ahead of time.
            position = 0
            count: int | None = 0
            while True:
                span, future = ahead.take(position, self._limit, count)
                page = self._page_of(span, future)
                if page is None:
                    continue
                keys = _keys(page)
                if not self._joins(span, keys, known, position):
                    position = self._step_back(position, page)
                    continue
                fresh = tuple(record for record in page.records if _key(record) not in known)
                self._guard(span, page, keys, len(fresh))
                yield dataclasses.replace(page, records=fresh)
                if self._is_end(span, page, fresh=len(fresh)):
                    return
                self._learn(span, len(keys))
                # A record that is shown twice, or that belongs to the page before, takes up no place.
                known, position = keys, span.start + min(len(keys), span.limit)
                count = page.count

    def _page_of(self, span: Span, future: Future[Page]) -> Page | None:
        """
        Give the slice, or None if it cannot be read as a whole and has to be asked for in smaller pieces.

        The piece of one record that still cannot be read is the culprit, and comes as an unusable record.
        """
        try:
            return future.result()
        except SpoiltPage:
            self._limit = max(1, span.limit // 2)
            return None

    def _fetch(self, span: Span) -> Page:
        try:
            return self._source.fetch_page(self._filters, page=span.page, limit=span.limit)
        except NotThere:
            if span.page == 1:
                raise
            return Page(records=())

    def _joins(self, span: Span, keys: set[str | bytes], known: set[str | bytes], position: int) -> bool:
        """
        Tell whether nothing can lie between this slice and the last; a slice from the top always joins.

        Where no slice can overlap the last one, the record before this slice is looked at by itself.
        """
        if span.start == 0:
            return True
        if span.start < position:
            return not keys.isdisjoint(known)
        if not keys:
            return True
        before = _keys(self._fetch(Span(position, 1)))
        return not before.isdisjoint(known)

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

    def _learn(self, span: Span, size: int) -> None:
        """Take a slice shorter than asked, with more behind it, for the server's page size."""
        granted = min(span.limit, max(1, size))
        if granted < span.limit or (self.granted is None and span.limit == self._page_size):
            self.granted = granted
        # After a spoilt record, larger pages may be read again, by and by.
        self._limit = min(self.granted or self._page_size, 2 * self._limit)

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
        if page.count is not None and page.count <= span.start + size and not page.has_next:
            return True
        return fresh == 0

    def _guard(self, span: Span, page: Page, keys: set[str | bytes], fresh: int) -> None:
        """Notice a walk that comes by the same places again, or that never ends."""
        self.slices += 1
        ids = [record.task_id for record in page.records if isinstance(record, TaskPayload)]
        self.is_ordered = self.is_ordered and all(one < other for one, other in itertools.pairwise(ids))
        landmarks = keys & self._landmarks.keys()
        came_back = any(self.slices - self._landmarks[key] > NEAR for key in landmarks)
        self._returns = self._returns + 1 if came_back else 0
        if self._returns > MOST_RETURNS:
            raise PageLoop(span.page)
        if page.records and len(self._landmarks) < MOST_LANDMARKS:
            self._landmarks.setdefault(_key(page.records[0]), self.slices)
        self._read += fresh
        self._claimed = max(self._claimed, page.count or 0)
        if self._read > RUNAWAY_FACTOR * self._claimed + RUNAWAY_SLACK:
            raise RunawayScan(
                f"the API says it has {self._claimed:,} tasks but has listed {self._read:,}, and does not end"
            )


def _key(record: Record) -> str | bytes:
    return record.task_id if isinstance(record, TaskPayload) else record.raw


def _keys(page: Page) -> set[str | bytes]:
    return {_key(record) for record in page.records}
