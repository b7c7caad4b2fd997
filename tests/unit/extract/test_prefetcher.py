"""Which slices are requested in advance."""

from __future__ import annotations

import pytest

from etl.extract.daemon_pool import DaemonPool
from etl.extract.page_size import PageSizes
from etl.extract.page_slice import PageRequest, PageSlice, overlapping_request
from etl.extract.page_source import EMPTY_SLICE
from etl.extract.payload import Page
from etl.extract.prefetcher import (
    END_LIMIT,
    PREFETCH_FACTOR,
    SMALL_PAGE,
    SMALL_PREFETCH_FACTOR,
    Prefetcher,
)

COUNT, LIMIT = 1000, 100
SIZES = PageSizes(LIMIT)


def read_all(*, shows_end: bool, limit: int = LIMIT, count: int | None = COUNT) -> list[PageRequest]:
    """Return the requests sent while the slices up to the end of the list are taken."""
    sent: list[PageRequest] = []

    def fetch(request: PageRequest) -> PageSlice:
        sent.append(request)
        return PageSlice(request, Page(records=()), frozenset())

    with DaemonPool(1) as pool:
        prefetcher = Prefetcher(overlapping_request, fetch, pool, 4, SIZES, shows_end=shows_end)
        position = 0
        while position < COUNT:
            request, future = prefetcher.take(position, limit, count)
            future.result()
            position = request.end
        if shows_end:
            prefetcher.take(COUNT, limit, count)[1].result()
    return sent


def test_nothing_past_the_count_is_requested():
    assert all(request.start < COUNT for request in read_all(shows_end=False))


def test_the_end_is_requested_along_with_the_last_slices():
    requests = read_all(shows_end=True)
    end = requests[-1]
    assert end.start < COUNT < end.end
    assert end.limit <= END_LIMIT
    assert requests[:-1] == read_all(shows_end=False)


@pytest.mark.parametrize("shows_end", [False, True])
@pytest.mark.parametrize(
    "concurrency, granted, most",
    [
        (4, SMALL_PAGE, 4 * SMALL_PREFETCH_FACTOR),
        (4, SMALL_PAGE + 1, 4 * PREFETCH_FACTOR),
        (4, None, 4 * PREFETCH_FACTOR),
        (1, SMALL_PAGE, 1),
    ],
)
def test_slices_in_advance_are_limited(concurrency, granted, most, shows_end):
    chosen: list[PageRequest] = []

    def choose(position: int, limit: int) -> PageRequest:
        chosen.append(overlapping_request(position, limit))
        return chosen[-1]

    with DaemonPool(1) as pool:
        sizes = PageSizes(LIMIT, granted=granted)
        prefetcher = Prefetcher(choose, lambda _: EMPTY_SLICE, pool, concurrency, sizes, shows_end=shows_end)
        request, _ = prefetcher.take(0, LIMIT, 10 * COUNT)
        assert len(chosen) == most
        prefetcher.take(request.end, LIMIT, 10 * COUNT)
        assert len(chosen) == most + 1
