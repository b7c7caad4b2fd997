"""Reading a list that changes meanwhile: no task present throughout is missed."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.errors import NotFound, PageLoop, RequestRefused, SourceError, Unreachable
from etl.extract.complete_scan import complete_scan
from etl.extract.page_size import PageSizes
from etl.extract.page_slice import overlapping_request
from etl.extract.page_source import ListSource
from etl.extract.paginator import Paginator
from etl.extract.payload import Page, TaskPayload, UnusableRecord, task_payload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


BY_ID = {"ordering": "task_id"}


class MovingList:
    """A source that returns at most `cap` records per page, and may change before each response."""

    concurrency = 1

    def __init__(self, ids: list[int], cap: int, move: Callable[[list[int]], None] | None = None) -> None:
        self.ids, self.cap, self.move = sorted(ids), cap, move
        self.requests = 0
        self.counts: Callable[[int, int], int | None] = lambda count, _size: count
        self.names_next = True
        self.caps: Callable[[int], int] = lambda _request: self.cap
        self.is_404_past_the_end = False
        self.is_sorted = True
        self.own_size: int | None = None
        self.refuses: Callable[[int], int] | None = None
        self.refusal: Exception = RequestRefused(400, "/streaming/ai/tasks", "limit is too large")

    def fetch_page(
        self, filters: Mapping[str, str], *, page: int, limit: int, retry_seconds: float | None = None
    ) -> Page:
        assert filters["ordering"] == "task_id" or limit == 1
        assert retry_seconds is None or self.refuses is not None or limit == 1
        if self.refuses is not None and limit > self.refuses(self.requests):
            self.requests += 1
            raise self.refusal
        if self.requests and self.move is not None:
            self.move(self.ids)
            if self.is_sorted:
                self.ids.sort()
        self.requests += 1
        limit = self.own_size or min(limit, self.caps(self.requests))
        found = self.ids[(page - 1) * limit : page * limit]
        if not found and page > 1 and self.is_404_past_the_end:
            raise NotFound(404, "/streaming/ai/tasks")
        return Page(
            records=tuple(task_payload(f"{each:06d}") for each in found),
            count=self.counts(len(self.ids), len(found)),
            has_next=self.names_next and page * limit < len(self.ids),
        )


def walk(source: MovingList, page_size: int = 1000, granted: int | None = None, **options) -> list[int]:
    pages = Paginator(ListSource(source, BY_ID), PageSizes(page_size, granted), **options)
    return [int(record.task_id) for page in pages for record in page.records]


# The count that a server may report, given the length of the list and of the page.
COUNTS: dict[str, Callable[[int, int], int | None]] = {
    "right": lambda count, _size: count,
    "none": lambda _count, _size: None,
    "low": lambda count, _size: count // 2,
    "high": lambda count, _size: count + 7,
    "of the page": lambda _count, size: size,
}


@given(
    ids=st.sets(st.integers(0, 9999), max_size=120),
    cap=st.integers(1, 40),
    page_size=st.integers(1, 40),
    concurrency=st.integers(1, 4),
    is_404=st.booleans(),
    counts=st.sampled_from(sorted(COUNTS)),
    names_next=st.booleans(),
)
def test_static_list_is_read_completely(ids, cap, page_size, *, concurrency, is_404, counts, names_next):
    source = MovingList(list(ids), cap)
    source.concurrency, source.is_404_past_the_end = concurrency, is_404
    source.counts, source.names_next = COUNTS[counts], names_next
    assert sorted(set(walk(source, page_size, proves_end=True))) == sorted(ids)


@given(st.integers(0, 120), st.integers(1, 40), st.booleans())
def test_known_page_size_makes_end_proof_unnecessary(count, cap, names_next):
    source = MovingList(list(range(count)), cap)
    source.counts, source.names_next = COUNTS["of the page"], names_next
    assert sorted(set(walk(source, granted=cap))) == list(range(count))


@given(
    st.integers(0, 300),
    st.lists(st.integers(8, 60), min_size=1, max_size=12),
    st.sampled_from(sorted(COUNTS)),
    st.booleans(),
)
def test_changing_page_size_does_not_end_pass_early(count, caps, counts, names_next):
    source = MovingList(list(range(count)), cap=0)
    source.caps = lambda request: caps[request % len(caps)]
    source.counts, source.names_next = COUNTS[counts], names_next
    assert sorted(set(walk(source, proves_end=True))) == list(range(count))


def test_short_page_with_wrong_count_does_not_end_list():
    source = MovingList(list(range(60)), cap=0)
    source.caps = lambda request: (8, 46, 22)[request % 3]
    source.counts, source.names_next = COUNTS["high"], False
    assert sorted(set(walk(source, proves_end=True))) == list(range(60))


def test_reduced_page_size_does_not_restart_pass():
    source = MovingList(list(range(2000)), cap=0)
    source.caps = lambda request: 100 if request < 10 else 20
    assert sorted(set(walk(source, proves_end=True))) == list(range(2000))
    alone = MovingList(list(range(2000)), cap=20)
    walk(alone, proves_end=True)
    assert source.requests < 10 + 0.75 * alone.requests


def test_identical_records_do_not_prove_overlap():
    """Identical records without an id follow tasks 1, 2 and 4; tasks 0 and 1 are deleted during the read."""
    records = [task_payload(f"{number:06d}") for number in range(8)]
    for place in (2, 4, 7):
        records.insert(place, UnusableRecord(b"null", "not an object"))
    source = MovingList([], 3)

    def fetch(_filters: Mapping[str, str], *, page: int, limit: int, retry_seconds: object) -> Page:  # noqa: ARG001
        source.requests += 1
        if source.requests == 2:
            del records[:2]
        limit = min(limit, 3)
        shown = tuple(records[(page - 1) * limit : page * limit])
        return Page(records=shown, count=len(records), has_next=page * limit < len(records))

    source.fetch_page = fetch
    pages = Paginator(ListSource(source, BY_ID), PageSizes(3), proves_end=True)
    seen = {record.task_id for page in pages for record in page.records if isinstance(record, TaskPayload)}
    assert seen >= {f"{number:06d}" for number in range(2, 8)}


@given(
    st.integers(0, 300),
    st.integers(1, 400),
    st.lists(st.integers(1, 400), min_size=1, max_size=4),
    st.integers(1, 4),
    st.booleans(),
)
def test_rejected_page_size_is_halved_until_accepted(count, page_size, limits, concurrency, is_failure):
    """The page size that the server accepts decreases during the read."""
    source = MovingList(list(range(count)), cap=1000)
    source.concurrency = concurrency
    falling = sorted(limits, reverse=True)
    source.refuses = lambda request: falling[min(request // 7, len(falling) - 1)]
    if is_failure:
        source.refusal = Unreachable("HTTP 500")
    sizes = PageSizes(page_size)
    pages = Paginator(ListSource(source, BY_ID), sizes, proves_end=True)
    assert {int(task.task_id) for page in pages for task in page.tasks} == set(range(count))
    assert sizes.maximum is None or sizes.maximum <= max(limits)


@given(
    count=st.integers(0, 300),
    own_size=st.integers(1, 60),
    page_size=st.integers(1, 400),
    concurrency=st.integers(1, 4),
    counts=st.sampled_from(sorted(COUNTS)),
    ends=st.tuples(st.booleans(), st.booleans()),
)
def test_server_that_ignores_limit_is_read_completely(
    count, own_size, page_size, concurrency, *, counts, ends
):
    source = MovingList(list(range(count)), cap=1000)
    source.own_size, source.concurrency = own_size, concurrency
    source.counts, source.names_next, source.is_404_past_the_end = COUNTS[counts], *ends
    scan = complete_scan(source, {}, PageSizes(page_size))
    assert {int(task.task_id) for page in scan for task in page.tasks} == set(range(count))


# At least 8: shorter pages cannot overlap everywhere in a list of this length.
@given(st.integers(8, 30), st.integers(0, 2**32), st.integers(1, 6))
def test_tasks_present_throughout_are_never_missed(cap, seed, changes):
    chance = random.Random(seed)

    def move(ids: list[int]) -> None:
        for _ in range(changes if left[0] > 0 else 0):
            left[0] -= 1
            if ids and chance.random() < 0.5:
                ids.remove(chance.choice(ids))
            else:
                ids.append(chance.randrange(10_000, 20_000))

    left = [60]
    ids = chance.sample(range(10_000), 150)
    source = MovingList(ids, cap, move)
    seen = set(walk(source))
    assert set(ids) & set(source.ids) <= seen


def test_ordered_read_restarts_after_last_slice_is_deleted():
    def purge(ids: list[int]) -> None:
        if source.requests == 4:
            ids[:] = [each for each in ids if not 250 < each < 400]

    source = MovingList(list(range(1000)), 100, purge)
    seen = set(walk(source))
    assert len(source.ids) < 1000
    assert seen >= set(source.ids)
    assert source.requests < 50


@pytest.mark.parametrize("at", range(4, 22))
@pytest.mark.parametrize("in_order", [0, 60])
def test_unordered_read_restarts_after_last_slice_moves_to_top(at, in_order):
    ids = [*range(in_order), *reversed(range(in_order, 200))]

    def start_some(ids: list[int]) -> None:
        # The tasks around the cursor start; the list shows the most recently started tasks first.
        if source.requests == at:
            place = max(0, 9 * (at - 3))
            moved = ids[place : place + 30]
            ids[:] = [*reversed(moved), *ids[:place], *ids[place + 30 :]]

    source = MovingList(ids, 10, start_some)
    source.ids, source.is_sorted = ids, False
    pages = complete_scan(source, {}, PageSizes(10))
    assert {int(record.task_id) for page in pages for record in page.records} == set(range(200))
    assert source.requests < 5 * 30


def test_server_that_ignores_page_number_is_detected():
    source = MovingList(list(range(100)), 10)
    honest = source.fetch_page
    source.fetch_page = lambda filters, **options: honest(filters, **{**options, "page": 1})
    with pytest.raises(PageLoop):
        walk(source)


@pytest.mark.parametrize("clamped_to", ["the first page", "the deepest that is granted"])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_clamped_deep_pages_do_not_cause_endless_loop(clamped_to, is_sorted):
    """Deeper requests return an earlier page, so a naive reader would never finish."""
    source = MovingList(list(range(200)), 400)
    if not is_sorted:
        random.Random(1).shuffle(source.ids)
    honest = source.fetch_page

    def clamp(filters, *, page, limit, retry_seconds=None):
        if page * limit > 100 and limit * (page - 1) < 200:
            page = 1 if clamped_to == "the first page" else max(1, 100 // limit)
        return honest(filters, page=page, limit=limit, retry_seconds=retry_seconds)

    source.fetch_page = clamp
    with contextlib.suppress(SourceError):
        assert set(walk(source, proves_end=True)) == set(range(200))
    assert source.requests < 2000


def test_404_for_first_page_is_an_error():
    source = MovingList([], 10)

    def refuse(
        _filters: Mapping[str, str], *, page: int, limit: int, retry_seconds: float | None = None
    ) -> Page:
        assert retry_seconds is None or limit == 1
        raise NotFound(404, f"{page} {limit}")

    source.fetch_page = refuse
    with pytest.raises(NotFound):
        walk(source)


def test_overlap_overhead_is_low_for_large_pages():
    """The reasons for these figures are in the decision record on page drift."""
    costs = {}
    for granted, tasks in ((100, 20_000), (1000, 100_000), (2000, 200_000)):
        source = MovingList(list(range(tasks)), granted)
        walk(source, page_size=granted, proves_end=True)
        costs[granted] = source.requests * granted / tasks - 1
    assert costs[100] < 0.16
    assert costs[1000] < 0.055
    assert costs[2000] < 0.045


@given(st.integers(1, 100_000), st.integers(2, 1000))
def test_next_request_overlaps_and_extends_last_page(position, granted):
    span = overlapping_request(position, granted)
    can_overlap = any(position % limit for limit in range(2, granted + 1))
    assert (span.start < position) == can_overlap
    assert position < span.end
    assert span.limit <= granted
