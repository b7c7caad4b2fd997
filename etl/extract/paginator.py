"""
The walk over one list, page by page, without losing what lies between two pages.

Each answer is one slice of the list at one instant. The list is ordered by `task_id`, which never changes,
and each slice is asked for so that it begins before the end of the last. If two neighbouring slices share a
record, nothing that existed throughout can lie between them; if they share none, the walk steps back.

A page size that the server refuses is halved until it is granted. Pages of a server that ignores `limit`
cannot overlap, and prove nothing.
"""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, Protocol

from etl.errors import (
    BodyTooLarge,
    DriftingPages,
    EmptyPage,
    NotFound,
    PageLoop,
    RunawayScan,
)
from etl.extract.daemon_pool import DaemonPool, await_result
from etl.extract.page_request import PageRequest, Prefetcher, fixed_size_request, overlapping_request
from etl.extract.page_size import HALVING_PATIENCE, SIZE_FAILURES, is_doubtful, is_size_to_blame
from etl.extract.page_slice import EMPTY_SLICE, PageSlice
from etl.extract.payload import CorruptPage, Page

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import Future

    from etl.errors import SourceError

logger = logging.getLogger(__name__)

MAX_MISSES = 50
# After so many without a surprise, twice as long a page is tried.
CALM_SLICES = 8
# A list that seems to end here may end so many places before.
TWICE_SHOWN = 3
# The first records of slices are landmarks. Drift moves one by a slice or two, not again and again by more.
MAX_LANDMARKS, NEAR, MAX_RETURNS = 1000, 2, 20
# How much longer than it claims to be a list may get before the walk gives up.
RUNAWAY_FACTOR, RUNAWAY_SLACK = 10, 1_000_000


class PageSource(Protocol):
    """What the walk needs of a client."""

    concurrency: int

    def fetch_page(
        self, filters: Mapping[str, str], *, page: int, limit: int, patience: float | None = None
    ) -> Page:
        """Return one page."""
        ...


class Paginator:
    """
    One pass over one list; iterating gives pages that hold only what the page before did not.

    `granted` is the page size that the server turned out to grant, or did when last asked, `None` while no
    page was full; `is_ordered` whether the ids came in ascending order, without which nothing is proved;
    `is_joined` whether all slices shared a record with the one before, and the end was shown by one slice,
    what else had to be looked at record by record; `slices` how many were read. Without `is_by_id` the list
    comes in the server's default order. With `proves_end` only a slice that shows nothing new is the end,
    whatever the server says of its count.

    `max_page_size` is the largest page that the server accepts, None while it has refused none; `own_size`
    how many tasks its pages have, if it ignores `limit`.
    """

    def __init__(  # noqa: PLR0913
        self,
        source: PageSource,
        filters: Mapping[str, str],
        *,
        page_size: int,
        granted: int | None = None,
        own_size: int | None = None,
        is_by_id: bool = True,
        proves_end: bool = False,
    ) -> None:
        self.granted = granted
        self.max_page_size: int | None = None
        self.own_size = own_size
        self.is_ordered = is_by_id
        self.is_joined = True
        self.slices = 0
        self._source = source
        self._filters = {"ordering": "task_id", **filters} if is_by_id else dict(filters)
        self._limit = self._ceiling = self._page_size = own_size or page_size
        self._heeds_limit = False
        self._refused_size = 0
        self._refusal: SourceError | None = None
        self._proves_end = proves_end
        self._concurrency = source.concurrency if is_by_id else 1
        self._landmarks: dict[str | bytes, int] = {}
        self._misses = self._returns = self._read = self._claimed = self._calm = self._advances = 0
        self._furthest = ""
        self._stride = 0

    def __iter__(self) -> Iterator[Page]:
        with DaemonPool(self._concurrency) as pool:
            ahead = Prefetcher(self._fetch, pool, self._concurrency)
            last, position = EMPTY_SLICE, 0
            # Until the first answer nobody knows whether there is anything to be asked for ahead of time.
            count: int | None = 0
            while True:
                ahead.choose = self._choose
                request, future = ahead.take(position, self._limit, count)
                page = self._page_of(request, future)
                if page is None or self._is_emptied(request, page):
                    continue
                here, count = PageSlice.of(request, page), page.count
                if self._is_own_size(here, last, position):
                    last, position = EMPTY_SLICE, 0
                    continue
                self._accept_size()
                self.is_ordered = self.is_ordered and here.is_ordered
                if self._is_misplaced(here, last, position):
                    if here.keys <= last.keys and self._ends_at(position, last):
                        return
                    self._ceiling = self._limit = here.size
                    self._calm = 0
                elif not self._joins(here, last, position) or self._ends_too_soon(here, last, position):
                    position = self._step(position, here, last)
                else:
                    news = here.news(last.keys)
                    self._guard(here, len(news.records))
                    yield news
                    if self._is_end(here, is_news=bool(news.records)):
                        return
                    if news.records and last.is_called_last and not last.is_full:
                        # It was not: it was as long as a page can be.
                        self.granted = last.size
                    self._learn(here)
                    last, position, self._stride = here, here.end, 0

    def _choose(self, position: int, limit: int) -> PageRequest:
        return (
            overlapping_request(position, limit)
            if self.own_size is None
            else fixed_size_request(position, limit)
        )

    def _page_of(self, request: PageRequest, future: Future[Page]) -> Page | None:
        """
        Return the slice, or None if it cannot be read as a whole and must be asked for in smaller pieces.

        The piece of one record that still cannot be read is the culprit, and comes as an unusable record.
        """
        try:
            return await_result(future)
        except CorruptPage:
            if self.own_size is not None:
                raise
            self._limit = max(1, request.limit // 2)
        except BodyTooLarge:
            if self.own_size is not None or request.limit == 1:
                raise
            # Pages as long as this one are tried again, but not at once: each may take much to read.
            self._limit = self._ceiling = request.limit // 2
            self._calm = 0
        except SIZE_FAILURES as error:
            if not self._halve(request, error):
                raise
        return None

    def _is_emptied(self, request: PageRequest, page: Page) -> bool:
        """Return whether the first page is to be asked for again in a smaller size, as it shows nothing."""
        return (
            request.start == 0
            and is_doubtful(page, self._filters)
            and self._halve(request, EmptyPage(page.count))
        )

    def _halve(self, request: PageRequest, error: SourceError) -> bool:
        """Ask for pages half as long from now on, and return True, if this came of the size of the page."""
        if self.own_size is not None or not is_size_to_blame(
            error, self._source, self._filters, limit=request.limit, is_known=self._refusal is not None
        ):
            return False
        self._refused_size, self._refusal = self._refused_size or self._limit, error
        self._limit = self._ceiling = self._page_size = max(1, self._limit // 2)
        return True

    def _accept_size(self) -> None:
        """Note a size that is granted after larger ones were refused."""
        if self._refusal is None:
            return
        logger.warning(
            "the API gives no pages of %d tasks (%s); pages of %d are read from now on",
            self._refused_size,
            self._refusal,
            self._page_size,
        )
        self.granted = self.max_page_size = self._page_size
        self._refused_size, self._refusal = 0, None

    def _is_own_size(self, here: PageSlice, last: PageSlice, position: int) -> bool:
        """
        Return whether the server gives pages of its own size, so that nobody knows where this one begins.

        It is asked for a single task where a page is longer than it should be, or shares nothing with the
        last one.
        """
        is_longer = len(here.keys - last.keys) > here.request.limit
        is_apart = position > 0 and here.keys.isdisjoint(last.keys)
        if self._heeds_limit or not (is_longer or is_apart) or self.own_size == here.size:
            return False
        size = PageSlice.of(PageRequest(1, 1), self._fetch(PageRequest(1, 1))).size
        self._heeds_limit = size <= 1
        if self._heeds_limit or size == self.own_size:
            return False
        self._miss()
        if self.own_size is None:
            logger.warning("the API ignores the page size and gives %d tasks a page: all is read twice", size)
        self.own_size = self._limit = self._ceiling = self._page_size = size
        self.is_joined = False
        self._landmarks.clear()
        return True

    def _fetch(self, request: PageRequest) -> Page:
        patience = {"patience": HALVING_PATIENCE} if self._refusal is not None else {}
        try:
            return self._source.fetch_page(self._filters, page=request.page, limit=request.limit, **patience)
        except NotFound:
            # The run has read the unfiltered list: with a filter nothing is there, or not so many at once.
            if request.page == 1 and (self._filters.keys() <= {"ordering"} or self._shows_one(request)):
                raise
            return Page(records=(), count=0 if request.page == 1 else None)

    def _shows_one(self, request: PageRequest) -> bool:
        """Return whether the list shows a task to whoever asks for one, though not for as many as this."""
        try:
            return request.limit > 1 and bool(self._source.fetch_page(self._filters, page=1, limit=1).records)
        except NotFound:
            return False

    def _is_misplaced(self, here: PageSlice, last: PageSlice, position: int) -> bool:
        """
        Tell whether nobody knows where this slice begins: shorter than asked, and not called the last one.

        A server that grants less than it did counts its pages by what it grants now. Only where the walk
        begins, at the top, does that make no difference. One that shows nothing new, nor what the last slice
        ended with, is none that ends the list, even if its count fits by chance.
        """
        if position == 0 or here.size == 0 or here.is_full or self.own_size is not None:
            return False
        is_beyond = here.end >= position and not here.keys <= last.keys
        reaches = is_beyond or here.last_id == last.last_id
        return not (reaches and here.is_called_last)

    def _joins(self, here: PageSlice, last: PageSlice, position: int) -> bool:
        """
        Tell whether nothing can lie between this slice and the last; a slice from the top always joins.

        Where no slice can overlap the last one, the record before this slice is looked at by itself: a moment
        later, when the list may have moved and moved back. Records without an id may look alike; where they
        are all that two slices share, the last task must still be where it was.
        """
        if here.request.start == 0:
            return True
        shared = here.keys & last.keys
        if not shared and here.request.start >= position:
            self.is_joined = False
            shared = self._look_at(position - 1).keys & last.keys
        if last.last_id is None or any(isinstance(key, str) for key in shared):
            return bool(shared)
        return bool(shared) and last.last_id in self._look_at(last.last_place).keys

    def _ends_too_soon(self, here: PageSlice, last: PageSlice, position: int) -> bool:
        """Tell whether an empty slice is belied by what stands around it: a 404 may be a fault."""
        return position > 0 and here.size == 0 and not self._ends_at(position, last)

    def _ends_at(self, position: int, last: PageSlice) -> bool:
        """
        Ask for what is behind the last slice, and for its end: at once, or one record at a time.

        A server may grant no more, and one that shows a record twice ends sooner than it seems to. But
        between two requests the list may move and move back: such an end is no proof.
        """
        shown = self._look_about(position, last)
        if shown.size and shown.end == position and shown.page.keys[-1] == last.page.keys[-1]:
            return True
        if self.is_ordered and (shown.last_id or "") > (last.last_id or ""):
            return False
        if self._look_at(position).end > position:
            return False
        self.is_joined = False
        for place in range(position - 1, max(-1, position - 1 - TWICE_SHOWN), -1):
            if found := self._look_at(place).keys:
                return not found.isdisjoint(last.keys)
        return False

    def _look_about(self, position: int, last: PageSlice) -> PageSlice:
        """Ask for a short slice about a position; nothing, if that may not be granted or is spoilt."""
        limit = next(size for size in itertools.count(2) if position % size)
        if self.own_size is not None or limit > max(self.granted or 0, last.size) or not last.size:
            return EMPTY_SLICE
        request = PageRequest(position // limit + 1, limit)
        try:
            here = PageSlice.of(request, self._fetch(request))
        except (CorruptPage, BodyTooLarge, *SIZE_FAILURES):
            return EMPTY_SLICE
        return here if here.size == len(here.page.records) else EMPTY_SLICE

    def _look_at(self, position: int) -> PageSlice:
        """Ask for the one record at a position, from 0; with its page, where that cannot be had."""
        request = (
            PageRequest(position + 1, 1)
            if self.own_size is None
            else fixed_size_request(position, self.own_size)
        )
        return PageSlice.of(request, self._fetch(request))

    def _step(self, position: int, here: PageSlice, last: PageSlice) -> int:
        """
        Begin the next slice further up: the list moved up under the cursor, or ended before it.

        Further down, if what is here should stand before the last slice: the list moved down. By half a page,
        and by half as much at every turn. What the last slice showed may be gone, or in a list without order
        anywhere by now: when no step is left, and there with steps that double, the walk is back at the top.
        """
        self._miss()
        logger.info("page drift", extra={"position": position})
        stride = abs(self._stride) or max(1, self._ceiling // 2)
        if not self.is_ordered:
            self._stride = -2 * stride
        else:
            direction = 1 if here.last_id and here.last_id < (last.first_id or "") else -1
            is_turn = self._stride * direction < 0
            self._stride = direction * (stride // 2 if is_turn else stride)
        position = max(0, position + self._stride) if self._stride else 0
        if position == 0:
            self._landmarks.clear()
        return position

    def _miss(self) -> None:
        self._misses += 1
        if self._misses > MAX_MISSES + self._progress():
            raise DriftingPages(
                f"the list of tasks moved under the cursor {self._misses} times; "
                "try again when fewer tasks are being deleted"
            )

    def _progress(self) -> int:
        """
        Return how many slices brought the walk further: it may step back as often, but not for ever.

        In a list without order that cannot be seen; there it is no more than a list of this length may take.
        """
        if self.is_ordered:
            return self._advances
        most = RUNAWAY_FACTOR * (1 + self._claimed // self._ceiling) if self._claimed else self.slices
        return min(self.slices, most)

    def _learn(self, here: PageSlice) -> None:
        """Take a first page shorter than asked, with more behind it, for the server's page size."""
        if self.own_size is not None:
            return
        if not here.is_full and here.is_called_last:
            self._limit = min(self._limit, here.size)
            return
        limit = here.request.limit
        if not here.is_full or limit == self._page_size:
            self.granted = self._ceiling = min(limit, here.size)
        # After a spoilt record, or a shorter page, longer ones may be read again, by and by.
        self._calm += 1
        if self._calm % CALM_SLICES == 0:
            self._ceiling = min(self.granted or self._page_size, 2 * self._ceiling)
        self._limit = min(self._ceiling, 2 * self._limit)

    def _is_end(self, here: PageSlice, *, is_news: bool) -> bool:
        """
        Tell whether this slice, which is where it seems to be, reached the end of the list as it was then.

        Empty it did. Shorter than asked, its count and `next` must call it the last. If it holds new records,
        it must be shorter than any page that is granted, too: `count` may be that of the page.
        """
        if not here.size:
            return True
        if is_news and (self._proves_end or here.size == self.granted):
            return False
        if not here.is_full and here.is_called_last:
            return True
        return not is_news and self._ends_at(here.end, here)

    def _guard(self, here: PageSlice, news: int) -> None:
        """Notice a walk that comes by the same places again, or that never ends."""
        self.slices += 1
        if here.last_id and here.last_id > self._furthest:
            self._furthest = here.last_id
            self._advances += 1
        landmarks = here.keys & self._landmarks.keys()
        came_back = any(self.slices - self._landmarks[key] > NEAR for key in landmarks)
        self._returns = self._returns + 1 if came_back else 0
        if self._returns > MAX_RETURNS:
            raise PageLoop(here.request.page)
        if here.keys and len(self._landmarks) < MAX_LANDMARKS:
            self._landmarks.setdefault(min(here.keys, key=str), self.slices)
        self._read += news
        self._claimed = max(self._claimed, here.page.count or 0)
        if self._read > RUNAWAY_FACTOR * self._claimed + RUNAWAY_SLACK:
            raise RunawayScan(
                f"the API says it has {self._claimed:,} tasks but has listed {self._read:,}, and does not end"
            )
