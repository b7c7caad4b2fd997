"""One list of the API, requested by position."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Protocol

from etl.errors import BodyTooLarge, NotFound
from etl.extract.page_request import PageRequest, fixed_size_request
from etl.extract.page_size import SIZE_FAILURES
from etl.extract.page_slice import EMPTY_SLICE, PageSlice
from etl.extract.payload import CorruptPage, Page

if TYPE_CHECKING:
    from collections.abc import Mapping


class PageSource(Protocol):
    """What reading lists needs from a client."""

    concurrency: int

    def fetch_page(
        self, filters: Mapping[str, str], *, page: int, limit: int, patience: float | None = None
    ) -> Page:
        """Return one page."""
        ...


class ListSource:
    """The list that a source returns for some filters."""

    def __init__(self, source: PageSource, filters: Mapping[str, str]) -> None:
        self.source, self.filters = source, filters

    def fetch(self, request: PageRequest, *, patience: float | None = None) -> Page:
        """
        Return one page; an empty one for a 404, which some servers return past the end.

        For the first page, a 404 means an empty list only if there are filters: the run has read the
        unfiltered list before. Otherwise it is raised.
        """
        options = {} if patience is None else {"patience": patience}
        try:
            return self.source.fetch_page(self.filters, page=request.page, limit=request.limit, **options)
        except NotFound:
            if request.page == 1 and (self.filters.keys() <= {"ordering"} or self._has_one(request)):
                raise
            return Page(records=(), count=0 if request.page == 1 else None)

    def slice_at(self, position: int, own_size: int | None) -> PageSlice:
        """Return the record at a position, from 0; its whole page if the server only has pages of its own."""
        request = PageRequest(position + 1, 1) if own_size is None else fixed_size_request(position, own_size)
        return PageSlice.of(request, self.fetch(request))

    def slice_around(self, position: int, max_size: int) -> PageSlice:
        """Return a short slice around a position; nothing if that is too long, or cannot be read."""
        limit = next(size for size in itertools.count(2) if position % size)
        if limit > max_size:
            return EMPTY_SLICE
        request = PageRequest(position // limit + 1, limit)
        try:
            here = PageSlice.of(request, self.fetch(request))
        except (CorruptPage, BodyTooLarge, *SIZE_FAILURES):
            return EMPTY_SLICE
        return here if here.size == len(here.page.records) else EMPTY_SLICE

    def _has_one(self, request: PageRequest) -> bool:
        """Return whether the list has a page of one task, though none as long as this."""
        try:
            return request.limit > 1 and bool(self.source.fetch_page(self.filters, page=1, limit=1).records)
        except NotFound:
            return False
