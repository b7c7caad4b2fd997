"""One list of the API, requested by position, and checks of it that request a few records."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, NamedTuple, Protocol

from etl.errors import (
    BodyTooLarge,
    ConfigurationError,
    EmptyPage,
    NotFound,
    NotTheApi,
    RequestRefused,
    SourceError,
    Unreachable,
)
from etl.extract.page_slice import PageRequest, PageSlice, overlapping_request
from etl.extract.payload import CorruptPage, Page

if TYPE_CHECKING:
    from collections.abc import Mapping

# Possible results of a page that is too long: a status, a proxy's page, no response, or an empty list.
SIZE_FAILURES = (RequestRefused, NotFound, NotTheApi, Unreachable, EmptyPage)
# Seconds for which a smaller page is retried, before an even smaller one is requested.
HALVING_SECONDS = 3.0
# A list that shows records twice ends earlier than expected: by up to this many positions.
MAX_SHOWN_TWICE = 3
EMPTY_SLICE = PageSlice(PageRequest(1, 1), Page(records=()), frozenset())


class PageSource(Protocol):
    """The part of a client that reading lists needs."""

    concurrency: int

    def fetch_page(
        self, filters: Mapping[str, str], *, page: int, limit: int, retry_seconds: float | None = None
    ) -> Page:
        """Return one page."""
        ...


def shows_any(source: PageSource, filters: Mapping[str, str]) -> bool:
    """Return whether a list has any records. Raises RequestRefused if the server rejects the filter."""
    try:
        return bool(source.fetch_page(filters, page=1, limit=1).records)
    except NotFound:
        return False


class Check(NamedTuple):
    """
    Whether a condition holds, and whether that is proved.

    Checks of single records prove nothing, because a list may change and change back between two requests.
    """

    holds: bool
    is_proved: bool = True


@dataclasses.dataclass(slots=True)
class ListSource:
    """
    The list that a source returns for some filters.

    `own_size` is the size of the server's pages, if it ignores `limit`.
    """

    source: PageSource
    filters: Mapping[str, str]
    own_size: int | None = None

    @property
    def is_by_id(self) -> bool:
        """Whether it is requested in the order of its ids, which never change."""
        return "ordering" in self.filters

    def request_at(self, position: int, limit: int) -> PageRequest:
        """Return the request for the slice that joins `position`, with at most `limit` records."""
        if self.own_size is not None:
            return PageRequest.around(position, self.own_size)
        return overlapping_request(position, limit)

    def fetch(self, request: PageRequest, *, retry_seconds: float | None = None) -> PageSlice:
        """
        Return one slice; an empty one for a 404, which some servers return past the end.

        For the first page, NotFound is raised if the list has no filters, or if a request for a single record
        shows that it is not empty.
        """
        try:
            page = self.source.fetch_page(
                self.filters, page=request.page, limit=request.limit, retry_seconds=retry_seconds
            )
        except NotFound:
            if request.page == 1 and (
                self._is_unfiltered() or (request.limit > 1 and shows_any(self.source, self.filters))
            ):
                raise
            page = Page(records=(), count=0 if request.page == 1 else None)
        return PageSlice(request, page, frozenset(page.keys))

    def slice_at(self, position: int) -> PageSlice:
        """Return the slice of one record at a position, from 0; a page if the server ignores `limit`."""
        return self.fetch(PageRequest.around(position, self.own_size or 1))

    def joins(self, here: PageSlice, last: PageSlice, position: int) -> Check:
        """
        Check that nothing can lie between a slice and the last one; a slice from the top always joins.

        If no page size makes the two overlap, the record before the slice is requested on its own. Records
        without an id may be identical; if the slices share only such records, the last task must still be at
        its previous position.
        """
        if here.request.start == 0:
            return Check(holds=True)
        shared, is_proved = here.keys & last.keys, True
        if not shared and here.request.start >= position:
            shared, is_proved = self.slice_at(position - 1).keys & last.keys, False
        if last.last_id is None or any(isinstance(key, str) for key in shared):
            return Check(bool(shared), is_proved)
        return Check(bool(shared) and last.last_id in self.slice_at(last.position_of_last_id).keys, is_proved)

    def ends_at(self, position: int, last: PageSlice, granted: int | None, *, is_ordered: bool) -> Check:
        """
        Check that the list ends at a position, after the last slice: with one more slice, or single records.

        The second way is needed if the server grants no larger slice, or if the list shows a record twice and
        so ends earlier than expected.
        """
        shown = self._slice_around(position, max(granted or 0, last.size) if last.size else 0)
        if shown.size and shown.end == position and shown.page.keys[-1] == last.page.keys[-1]:
            return Check(holds=True)
        if is_ordered and (shown.last_id or "") > (last.last_id or ""):
            return Check(holds=False)
        if self.slice_at(position).end > position:
            return Check(holds=False)
        for place in range(position - 1, max(-1, position - 1 - MAX_SHOWN_TWICE), -1):
            if found := self.slice_at(place).keys:
                return Check(not found.isdisjoint(last.keys), is_proved=False)
        return Check(holds=False, is_proved=False)

    def is_doubtful(self, page: Page) -> bool:
        """Return whether a first page is empty although the list may not be."""
        return not page.records and (page.count != 0 or self._is_unfiltered())

    def is_caused_by_page_size(self, error: SourceError, limit: int, *, is_known: bool) -> bool:
        """
        Return whether a page of `limit` tasks failed with this error because it is too long.

        That is so if a page of one task succeeds now; with `is_known`, one has succeeded before. Servers and
        proxies refuse pages that are too long with many statuses, some of which also mean an unknown filter.
        """
        if self.own_size is not None or limit == 1 or not isinstance(error, SIZE_FAILURES):
            return False
        if is_known and not isinstance(error, EmptyPage):
            return True
        try:
            shown = self.source.fetch_page(self.filters, page=1, limit=1, retry_seconds=HALVING_SECONDS)
        except (SourceError, ConfigurationError):
            return False
        return bool(shown.records) or not isinstance(error, EmptyPage)

    def _slice_around(self, position: int, max_size: int) -> PageSlice:
        """Return a short slice around a position; nothing if that is too long, or cannot be read."""
        limit = next(size for size in itertools.count(2) if position % size)
        if limit > max_size or self.own_size is not None:
            return EMPTY_SLICE
        try:
            here = self.fetch(PageRequest.around(position, limit))
        except (CorruptPage, BodyTooLarge, *SIZE_FAILURES):
            return EMPTY_SLICE
        return here if here.size == len(here.page.records) else EMPTY_SLICE

    def _is_unfiltered(self) -> bool:
        return self.filters.keys() <= {"ordering"}
