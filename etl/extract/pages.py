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
# A list that seems to end here may end so many places before.
TWICE_SHOWN = 3
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

    `granted` is the page size that the server turned out to grant, or did when last asked, `None` while no
    page was full; `is_ordered` whether the ids came in ascending order, without which nothing is proved;
    `slices` how many were read. Without `is_by_id` the list comes in the server's default order. With
    `proves_end` only a slice that shows nothing new is the end, whatever the server says of its count.
    """

    def __init__(  # noqa: PLR0913
        self,
        source: PageSource,
        filters: Mapping[str, str],
        *,
        page_size: int,
        granted: int | None = None,
        is_by_id: bool = True,
        proves_end: bool = False,
    ) -> None:
        self.granted = granted
        self.is_ordered = is_by_id
        self.slices = 0
        self._source = source
        self._filters = {"ordering": "task_id", **filters} if is_by_id else dict(filters)
        self._limit = self._page_size = page_size
        self._proves_end = proves_end
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
                count = page.count
                if self._is_misplaced(span, page, position, len(keys)):
                    if keys <= known and self._ends_at(position, known):
                        return
                    self.granted = self._limit = len(keys)
                    continue
                if not self._joins(span, keys, known, position):
                    position = self._step_back(position)
                    continue
                fresh = tuple(record for record in page.records if _key(record) not in known)
                self._guard(span, page, keys, len(fresh))
                yield dataclasses.replace(page, records=fresh)
                if self._is_end(span, page, len(keys), is_fresh=bool(fresh)):
                    return
                if not fresh and self._ends_at(span.start + len(keys), keys):
                    return
                self._learn(span, page, len(keys))
                # A record that is shown twice, or that belongs to the page before, takes up no place.
                known, position = keys, span.start + min(len(keys), span.limit)

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

    def _is_misplaced(self, span: Span, page: Page, position: int, size: int) -> bool:
        """
        Tell whether nobody knows where this slice begins: shorter than asked, and not called the last one.

        A server that grants less than it did counts its pages by what it grants now. Only where the walk
        begins, at the top, does that make no difference.
        """
        if position == 0 or size == 0 or size >= span.limit:
            return False
        return span.start + size < position or not _is_called_last(span, page, size)

    def _ends_at(self, position: int, known: set[str | bytes]) -> bool:
        """
        Ask for what is behind the last slice, and for its end, one record at a time: so many are granted.

        A server that shows a record twice ends sooner than it seems to.
        """
        if self._fetch(Span(position + 1, 1)).records:
            return False
        for place in range(position, max(0, position - TWICE_SHOWN), -1):
            if keys := _keys(self._fetch(Span(place, 1))):
                return not keys.isdisjoint(known)
        return False

    def _joins(self, span: Span, keys: set[str | bytes], known: set[str | bytes], position: int) -> bool:
        """
        Tell whether nothing can lie between this slice and the last; a slice from the top always joins.

        Where no slice can overlap the last one, the record before this slice is looked at by itself.
        """
        if span.start == 0:
            return True
        if span.start >= position:
            keys = _keys(self._fetch(Span(position, 1)))
        # Records without an id may look alike: they join two slices only where there are no others.
        ids = {key for key in known if isinstance(key, str)}
        return not keys.isdisjoint(ids or known)

    def _step_back(self, position: int) -> int:
        """Begin the next slice further up: the list moved up under the cursor, or ended before it."""
        self._misses += 1
        if self._misses > MOST_MISSES + self.slices:
            raise DriftingPages(
                f"the list of tasks moved under the cursor {self._misses} times; "
                "try again when fewer tasks are being deleted"
            )
        step = max(1, (self.granted or self._page_size) // 2)
        logger.info("page drift", extra={"position": position})
        return max(0, position - step)

    def _learn(self, span: Span, page: Page, size: int) -> None:
        """Take a first page shorter than asked, with more behind it, for the server's page size."""
        if _is_called_last(span, page, size):
            self._limit = min(self._limit, size)
            return
        granted = min(span.limit, size)
        if granted < span.limit or span.limit == self._page_size:
            self.granted = granted
        # After a spoilt record, larger pages may be read again, by and by.
        self._limit = min(self.granted or self._page_size, 2 * self._limit)

    def _is_end(self, span: Span, page: Page, size: int, *, is_fresh: bool) -> bool:
        """
        Tell whether this slice, which is where it seems to be, reached the end of the list as it was then.

        Empty it did. Shorter than asked, its count and `next` must call it the last. If it holds new records,
        it must be shorter than any page that is granted, too: `count` may be that of the page.
        """
        if size == 0 or size >= span.limit:
            return size == 0
        if is_fresh and (self._proves_end or size == self.granted):
            return False
        return _is_called_last(span, page, size)

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


def _is_called_last(span: Span, page: Page, size: int) -> bool:
    """Tell whether the answer itself says, twice, that nothing follows."""
    return page.count == span.start + size and not page.has_next


def _key(record: Record) -> str | bytes:
    return record.task_id if isinstance(record, TaskPayload) else record.raw


def _keys(page: Page) -> set[str | bytes]:
    return {_key(record) for record in page.records}
