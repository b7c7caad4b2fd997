"""
Reads one list page by page without missing records that move between pages.

Each response is one slice of the list at one instant. The list is ordered by `task_id`, which never changes,
and each slice is requested so that it begins before the end of the previous one. If two neighbouring slices
share a record, no task that existed throughout can lie between them; otherwise the paginator steps back.

A page size that the server refuses is halved until the server accepts it. If a server ignores `limit`, its
pages cannot overlap and prove nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from etl.errors import BodyTooLarge, EmptyPage
from etl.extract.daemon_pool import DaemonPool, await_result
from etl.extract.drift_guard import DriftGuard
from etl.extract.page_slice import PageRequest
from etl.extract.page_source import EMPTY_SLICE, HALVING_SECONDS, SIZE_FAILURES
from etl.extract.payload import CorruptPage
from etl.extract.prefetcher import Prefetcher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from etl.errors import SourceError
    from etl.extract.page_size import PageSizes
    from etl.extract.page_slice import PageSlice
    from etl.extract.page_source import Check, ListSource
    from etl.extract.payload import Page

logger = logging.getLogger(__name__)

# After this many slices without page drift or errors, double the page size.
CALM_SLICES = 8


class Paginator:
    """
    One pass over one list; iterating yields each page without the records of the previous page.

    - `is_ordered`: whether the ids came in ascending order. If not, the pass proves nothing.
    - `is_joined`: whether each slice shared a record with the previous one, and one slice showed the end, so
      that nothing had to be checked record by record.

    A list that is not ordered by id is read in the server's default order, one request at a time. With
    `proves_end`, only a slice without new records ends the list, regardless of the server's count.
    """

    def __init__(self, source: ListSource, sizes: PageSizes, *, proves_end: bool = False) -> None:
        self._list, self._sizes, self._proves_end = source, sizes, proves_end
        self.is_ordered = source.is_by_id
        self.is_joined = True
        self._guard = DriftGuard()
        # The limit of the next request, the largest one allowed, and the configured or maximum page size.
        self._limit = self._max_limit = self._page_size = source.own_size or sizes.requested
        self._respects_limit = False
        self._refused_size = 0
        self._refusal: SourceError | None = None
        self._concurrency = source.source.concurrency if source.is_by_id else 1
        self._calm = self._stride = 0

    def __iter__(self) -> Iterator[Page]:
        with DaemonPool(self._concurrency) as pool:
            prefetcher = Prefetcher(
                self._list.request_at,
                self._fetch,
                pool,
                self._concurrency,
                self._sizes,
                shows_end=self._proves_end,
            )
            last, position = EMPTY_SLICE, 0
            # Nothing is requested in advance until the first response has shown the length of the list.
            count: int | None = 0
            while True:
                here = self._read(*prefetcher.take(position, self._limit, count))
                if here is None:
                    continue
                count = here.page.count
                if self._has_own_size(here, last, position):
                    last, position = EMPTY_SLICE, 0
                    continue
                self._accept_size()
                self.is_ordered = self.is_ordered and here.is_ordered
                if self._list.own_size is None and here.is_misplaced(last, position):
                    if here.keys <= last.keys and self._ends_at(position, last):
                        return
                    self._limit_to(here.size)
                elif not self._joins(here, last, position):
                    position = self._step(position, here, last)
                else:
                    new = here.without(last.keys)
                    self._guard.record(here, len(new.records))
                    yield new
                    if self._is_end(here, has_new=bool(new.records)):
                        return
                    if new.records and last.is_reported_last and not last.is_full:
                        # It was not the last page, but one of the maximum size.
                        self._sizes.granted = last.size
                    self._learn(here)
                    last, position, self._stride = here, here.end, 0

    def _fetch(self, request: PageRequest) -> PageSlice:
        return self._list.fetch(request, retry_seconds=HALVING_SECONDS if self._refusal is not None else None)

    def _read(self, request: PageRequest, future: Future[PageSlice]) -> PageSlice | None:
        """
        Return the slice; None if it must be requested in smaller parts.

        If a part with a single record still cannot be decoded, that record becomes an unusable record.
        """
        try:
            here = await_result(future)
        except CorruptPage:
            if self._list.own_size is not None:
                raise
            self._limit = max(1, request.limit // 2)
        except BodyTooLarge:
            if self._list.own_size is not None or request.limit == 1:
                raise
            # Pages of this size are tried again, but not soon, because each may be slow to read.
            self._limit_to(request.limit // 2)
        except SIZE_FAILURES as error:
            if not self._halve(request, error):
                raise
        else:
            is_doubtful = request.start == 0 and self._list.is_doubtful(here.page)
            if not is_doubtful or not self._halve(request, EmptyPage(here.page.count)):
                return here
        return None

    def _limit_to(self, size: int) -> None:
        self._limit = self._max_limit = size
        self._calm = 0

    def _halve(self, request: PageRequest, error: SourceError) -> bool:
        """Halve the page size and return True if the server refused the request because of its size."""
        is_known = self._refusal is not None
        if not self._list.is_caused_by_page_size(error, request.limit, is_known=is_known):
            return False
        self._refused_size, self._refusal = self._refused_size or self._limit, error
        self._limit = self._max_limit = self._page_size = max(1, self._limit // 2)
        return True

    def _accept_size(self) -> None:
        """Keep a size that the server accepts after it refused larger ones."""
        if self._refusal is None:
            return
        logger.warning(
            "the API refuses pages of %d tasks (%s); reading pages of %d from now on",
            self._refused_size,
            self._refusal,
            self._page_size,
        )
        self._sizes.requested = self._sizes.granted = self._sizes.maximum = self._page_size
        self._refused_size, self._refusal = 0, None

    def _has_own_size(self, here: PageSlice, last: PageSlice, position: int) -> bool:
        """
        Return whether the server ignores `limit`, so that it is unknown where this slice begins.

        If a page is longer than requested, or shares no record with the previous one, request a single task
        to find out.
        """
        is_longer = len(here.keys - last.keys) > here.request.limit
        is_apart = position > 0 and here.keys.isdisjoint(last.keys)
        if self._respects_limit or not (is_longer or is_apart) or self._list.own_size == here.size:
            return False
        size = self._fetch(PageRequest(1, 1)).size
        self._respects_limit = size <= 1
        if self._respects_limit or size == self._list.own_size:
            return False
        self._miss()
        if self._list.own_size is None:
            logger.warning(
                "the API ignores the page size and returns %d tasks per page: every list is read twice", size
            )
        self._list.own_size = self._limit = self._max_limit = self._page_size = size
        self.is_joined = False
        self._guard.restart()
        return True

    def _joins(self, here: PageSlice, last: PageSlice, position: int) -> bool:
        """Return whether nothing lies between two slices; an empty one, such as a 404, may be a failure."""
        return self._holds(self._list.joins(here, last, position)) and (
            position == 0 or here.size > 0 or self._ends_at(position, last)
        )

    def _ends_at(self, position: int, last: PageSlice) -> bool:
        check = self._list.ends_at(position, last, self._sizes.granted, is_ordered=self.is_ordered)
        return self._holds(check)

    def _holds(self, check: Check) -> bool:
        self.is_joined = self.is_joined and check.is_proved
        return check.holds

    def _is_end(self, here: PageSlice, *, has_new: bool) -> bool:
        """
        Return whether a slice that joins the previous one reached the end of the list.

        An empty slice did. If a slice is shorter than requested, both `count` and `next` must say that it is
        the last one. If it has new records, it must also be shorter than the server's maximum page size,
        because some servers return the number of records on the page as `count`.
        """
        if not here.size:
            return True
        if has_new and (self._proves_end or here.size == self._sizes.granted):
            return False
        if not here.is_full and here.is_reported_last:
            return True
        return not has_new and self._ends_at(here.end, here)

    def _step(self, position: int, here: PageSlice, last: PageSlice) -> int:
        """
        Return the position of the next slice after one that does not join.

        It is earlier if records before it were deleted, or the list ended before it. It is later if records
        were inserted, so that this slice belongs before the last one. The first step is half a page, and it
        is halved at each change of direction. In a list without order, the records of the last slice may be
        anywhere, so steps go back and double. When no step is left, or the top is reached, the pass starts
        again at the top.
        """
        self._miss()
        logger.info("page drift", extra={"position": position})
        stride = abs(self._stride) or max(1, self._max_limit // 2)
        if not self.is_ordered:
            self._stride = -2 * stride
        else:
            direction = 1 if here.last_id and here.last_id < (last.first_id or "") else -1
            is_turn = self._stride * direction < 0
            self._stride = direction * (stride // 2 if is_turn else stride)
        position = max(0, position + self._stride) if self._stride else 0
        if position == 0:
            self._guard.restart()
        return position

    def _miss(self) -> None:
        self._guard.miss(is_ordered=self.is_ordered, page_size=self._max_limit)

    def _learn(self, here: PageSlice) -> None:
        """Adapt the page size: a short page that is not the last one shows the server's maximum page size."""
        if self._list.own_size is not None:
            return
        if not here.is_full and here.is_reported_last:
            self._limit = min(self._limit, here.size)
            return
        limit = here.request.limit
        if not here.is_full or limit == self._page_size:
            self._sizes.granted = self._max_limit = min(limit, here.size)
        # After a corrupt record or a shorter page, increase the size again step by step.
        self._calm += 1
        if self._calm % CALM_SLICES == 0:
            self._max_limit = min(self._sizes.granted or self._page_size, 2 * self._max_limit)
        self._limit = min(self._max_limit, 2 * self._limit)
