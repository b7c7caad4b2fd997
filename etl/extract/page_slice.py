"""One answer at one place of the list, and what it says by itself."""

from __future__ import annotations

import dataclasses

from etl.extract.page_request import PageRequest
from etl.extract.payload import Page


@dataclasses.dataclass(frozen=True, slots=True)
class PageSlice:
    """The records that a list showed at one instant, from the place that `span` asked for."""

    request: PageRequest
    page: Page
    keys: frozenset[str | bytes]

    @classmethod
    def of(cls, request: PageRequest, page: Page) -> PageSlice:
        """Look at an answer."""
        return cls(request, page, frozenset(page.keys))

    @property
    def size(self) -> int:
        """How many records it shows; one that is shown twice takes up no place."""
        return len(self.keys)

    @property
    def end(self) -> int:
        """The position behind its last record; one that belongs to the slice before takes up no place."""
        return self.request.start + min(self.size, self.request.limit)

    @property
    def is_full(self) -> bool:
        """Whether it shows as many records as were asked for."""
        return self.size >= self.request.limit

    @property
    def is_called_last(self) -> bool:
        """Whether the answer itself says, twice, that nothing follows."""
        return self.page.count == self.request.start + self.size and not self.page.has_next

    @property
    def is_ordered(self) -> bool:
        """Whether its ids ascend."""
        return self.page.ids == sorted(set(self.page.ids))

    @property
    def first_id(self) -> str | None:
        """The first id."""
        return self.page.ids[0] if self.page.ids else None

    @property
    def last_id(self) -> str | None:
        """The last id."""
        return self.page.ids[-1] if self.page.ids else None

    @property
    def last_place(self) -> int:
        """The position of the record with the last id."""
        places = [index for index, key in enumerate(self.page.keys) if isinstance(key, str)]
        return self.request.start + places[-1]

    def news(self, known: frozenset[str | bytes]) -> Page:
        """Give the page without what is known."""
        records = zip(self.page.keys, self.page.records, strict=True)
        fresh = tuple([record for key, record in records if key not in known])
        return dataclasses.replace(self.page, records=fresh)


EMPTY_SLICE = PageSlice.of(PageRequest(1, 1), Page(records=()))
