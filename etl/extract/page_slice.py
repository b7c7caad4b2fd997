"""One response, as a slice of the list at one position, and what it shows by itself."""

from __future__ import annotations

import dataclasses

from etl.extract.page_request import PageRequest
from etl.extract.payload import Page


@dataclasses.dataclass(frozen=True, slots=True)
class PageSlice:
    """The records that a list showed at one instant, at the position of the request."""

    request: PageRequest
    page: Page
    keys: frozenset[str | bytes]

    @classmethod
    def of(cls, request: PageRequest, page: Page) -> PageSlice:
        """Return the slice that a page is."""
        return cls(request, page, frozenset(page.keys))

    @property
    def size(self) -> int:
        """The number of records; one that is shown twice counts once."""
        return len(self.keys)

    @property
    def end(self) -> int:
        """The position behind its last record."""
        return self.request.start + min(self.size, self.request.limit)

    @property
    def is_full(self) -> bool:
        """Whether it has as many records as were requested."""
        return self.size >= self.request.limit

    @property
    def is_called_last(self) -> bool:
        """Whether both its count and its `next` say that nothing follows."""
        return self.page.count == self.request.start + self.size and not self.page.has_next

    @property
    def is_ordered(self) -> bool:
        """Whether its ids are in ascending order."""
        return self.page.ids == sorted(set(self.page.ids))

    @property
    def first_id(self) -> str | None:
        """The first id, if any."""
        return self.page.ids[0] if self.page.ids else None

    @property
    def last_id(self) -> str | None:
        """The last id, if any."""
        return self.page.ids[-1] if self.page.ids else None

    @property
    def last_place(self) -> int:
        """The position of the record with the last id."""
        places = [index for index, key in enumerate(self.page.keys) if isinstance(key, str)]
        return self.request.start + places[-1]

    def news(self, known: frozenset[str | bytes]) -> Page:
        """Return the page without known records."""
        records = zip(self.page.keys, self.page.records, strict=True)
        fresh = tuple([record for key, record in records if key not in known])
        return dataclasses.replace(self.page, records=fresh)


EMPTY_SLICE = PageSlice.of(PageRequest(1, 1), Page(records=()))
