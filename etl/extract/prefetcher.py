"""Slices of a list, a few of them requested in advance."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from etl.extract.daemon_pool import DaemonPool
    from etl.extract.page_size import PageSizes
    from etl.extract.page_slice import PageRequest, PageSlice

# Number of slices per concurrent request that may wait to be read, so that a slow slice or a long commit does
# not delay others. Of small pages, more fit into memory, and a commit takes as long as several.
PREFETCH_FACTOR, SMALL_PREFETCH_FACTOR = 2, 4
SMALL_PAGE = 250
# The length of the page that shows the end of a list: it repeats few records, and a few new ones may follow.
END_LIMIT = 10


class Prefetcher:
    """
    Requests slices in advance of the position that is being read; `choose` decides which.

    With `shows_end`, they include one that begins where the list ends according to its count. How many there
    are depends on the page size that the server grants; not on smaller ones that isolate an unusable record.
    """

    def __init__(  # noqa: PLR0913
        self,
        choose: Callable[[int, int], PageRequest],
        fetch: Callable[[PageRequest], PageSlice],
        pool: DaemonPool,
        concurrency: int,
        sizes: PageSizes,
        *,
        shows_end: bool = False,
    ) -> None:
        self._choose, self._fetch, self._pool, self._shows_end = choose, fetch, pool, shows_end
        self._concurrency, self._sizes = concurrency, sizes
        self._queue: deque[tuple[int, PageRequest, Future[PageSlice]]] = deque()

    def take(self, position: int, limit: int, count: int | None) -> tuple[PageRequest, Future[PageSlice]]:
        """
        Return the request for the slice that joins `position`, and its response; drop requests for others.

        `count` is the length of the list, if known; nothing beyond it is requested in advance.
        """
        if not self._queue or self._queue[0][0] != position or self._queue[0][1].limit > limit:
            for _, _, future in self._queue:
                future.cancel()
            self._queue.clear()
            self._send(position, limit)
        while len(self._queue) < self._depth():
            start, last, _ = self._queue[-1]
            if count is not None and last.end >= count:
                if self._shows_end and start < count:
                    self._send(count, min(limit, END_LIMIT))
                break
            self._send(last.end, limit)
        _, request, future = self._queue.popleft()
        return request, future

    def _depth(self) -> int:
        """Return how many slices may wait, including the one that is returned next."""
        is_small = self._sizes.granted is not None and self._sizes.granted <= SMALL_PAGE
        factor = SMALL_PREFETCH_FACTOR if is_small else PREFETCH_FACTOR
        return self._concurrency * factor if self._concurrency > 1 else 1

    def _send(self, position: int, limit: int) -> None:
        request = self._choose(position, limit)
        self._queue.append((position, request, self._pool.submit(lambda: self._fetch(request))))
