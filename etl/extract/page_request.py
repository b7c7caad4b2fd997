"""Requests for overlapping slices of a list, a few of them sent in advance."""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from etl.extract.daemon_pool import DaemonPool
    from etl.extract.payload import Page


@dataclasses.dataclass(frozen=True, slots=True)
class PageRequest:
    """A page number and a limit, which together are a position in the list."""

    page: int
    limit: int

    @property
    def start(self) -> int:
        """The position of its first record."""
        return (self.page - 1) * self.limit

    @property
    def end(self) -> int:
        """The position after its last record."""
        return self.page * self.limit


def overlapping_request(position: int, granted: int) -> PageRequest:
    """
    Return the request for the page that begins before `position` and extends furthest beyond it.

    A page can only begin at a multiple of its limit, and the limit can be any number up to `granted`. If the
    position is divisible by all of these (2,520 for limits up to 10), no overlap is possible, and the page
    begins at `position`.
    """
    if position <= 0:
        return PageRequest(1, granted)
    best, reach = PageRequest(position // granted + 1, granted), position
    for limit in range(granted, 0, -1):
        if position - 1 + limit <= reach:
            break
        page = (position - 1) // limit + 1
        if page * limit > reach:
            best, reach = PageRequest(page, limit), page * limit
    return best


def fixed_size_request(position: int, size: int) -> PageRequest:
    """Return the request for the page that contains `position`, if the server determines the page size."""
    return PageRequest(position // size + 1, size)


# Number of slices per concurrent request that may wait to be read, so that a slow slice or a long commit does
# not delay others.
PREFETCH_FACTOR = 2


class Prefetcher:
    """Requests slices in advance of the position that is being read; `choose` decides which."""

    def __init__(
        self,
        choose: Callable[[int, int], PageRequest],
        fetch: Callable[[PageRequest], Page],
        pool: DaemonPool,
        concurrency: int,
    ) -> None:
        self._choose, self._fetch, self._pool = choose, fetch, pool
        self._most = concurrency * PREFETCH_FACTOR if concurrency > 1 else 1
        self._queue: deque[tuple[int, PageRequest, Future[Page]]] = deque()

    def take(self, position: int, granted: int, count: int | None) -> tuple[PageRequest, Future[Page]]:
        """
        Return the request for the slice that joins `position`, and its response; drop requests for others.

        `count` is the length of the list, if known; nothing beyond it is requested in advance.
        """
        if not self._queue or self._queue[0][0] != position or self._queue[0][1].limit > granted:
            for _, _, future in self._queue:
                future.cancel()
            self._queue.clear()
            self._send(position, granted)
        while len(self._queue) < self._most:
            last = self._queue[-1][1]
            if count is not None and last.end >= count:
                break
            self._send(last.end, granted)
        _, request, future = self._queue.popleft()
        return request, future

    def _send(self, position: int, granted: int) -> None:
        request = self._choose(position, granted)
        self._queue.append((position, request, self._pool.submit(lambda: self._fetch(request))))
