"""Which slices are requested in advance."""

from __future__ import annotations

import pytest

from etl.extract.daemon_pool import DaemonPool
from etl.extract.page_slice import PageRequest, PageSlice, overlapping_request
from etl.extract.payload import Page
from etl.extract.prefetcher import END_LIMIT, PREFETCH_FACTOR, Prefetcher

COUNT, LIMIT = 1000, 100


def read_all(*, shows_end: bool, limit: int = LIMIT, count: int | None = COUNT) -> list[PageRequest]:
    """Return the requests sent while the slices up to the end of the list are taken."""
    sent: list[PageRequest] = []

    def fetch(request: PageRequest) -> PageSlice:
        sent.append(request)
        return PageSlice(request, Page(records=()), frozenset())

    with DaemonPool(1) as pool:
        prefetcher = Prefetcher(overlapping_request, fetch, pool, 4, shows_end=shows_end)
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
def test_slices_in_advance_are_limited(shows_end):
    with DaemonPool(1) as pool:
        sent: list[PageRequest] = []
        prefetcher = Prefetcher(overlapping_request, sent.append, pool, 4, shows_end=shows_end)
        prefetcher.take(0, LIMIT, 10 * COUNT)[1].result()
        prefetcher.take(LIMIT, LIMIT, 10 * COUNT)[1].result()
    assert len(sent) <= 2 + 4 * PREFETCH_FACTOR
