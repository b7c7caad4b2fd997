"""A slice of a list: the page that is requested, and what its response shows by itself."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etl.extract.payload import Page


@dataclasses.dataclass(frozen=True, slots=True)
class PageRequest:
    """A page number and a limit, which together are a position in the list."""

    page: int
    limit: int

    @classmethod
    def around(cls, position: int, limit: int) -> PageRequest:
        """Return the page of this length that contains `position`."""
        return cls(position // limit + 1, limit)

    @property
    def start(self) -> int:
        """The position of its first record."""
        return (self.page - 1) * self.limit

    @property
    def end(self) -> int:
        """The position after its last record."""
        return self.page * self.limit


def overlapping_request(position: int, max_limit: int) -> PageRequest:
    """
    Return the request for the page that begins before `position` and extends furthest beyond it.

    A page can only begin at a multiple of its limit, and the limit can be any number up to `max_limit`. If
    the position is divisible by all of these (2,520 for limits up to 10), no overlap is possible, and the
    page begins at `position`.
    """
    if position <= 0:
        return PageRequest(1, max_limit)
    best = PageRequest.around(position, max_limit)
    reach = position
    for limit in range(max_limit, 0, -1):
        if position - 1 + limit <= reach:
            break
        request = PageRequest.around(position - 1, limit)
        if request.end > reach:
            best, reach = request, request.end
    return best


@dataclasses.dataclass(frozen=True, slots=True)
class PageSlice:
    """The records that a list showed at one instant, at the position of the request."""

    request: PageRequest
    page: Page
    keys: frozenset[str | bytes]

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
    def is_reported_last(self) -> bool:
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
    def position_of_last_id(self) -> int:
        """The position of the record with the last id."""
        places = [index for index, key in enumerate(self.page.keys) if isinstance(key, str)]
        return self.request.start + places[-1]

    def without(self, known: frozenset[str | bytes]) -> Page:
        """Return the page without known records."""
        records = zip(self.page.keys, self.page.records, strict=True)
        fresh = tuple([record for key, record in records if key not in known])
        return dataclasses.replace(self.page, records=fresh)

    def is_misplaced(self, last: PageSlice, position: int) -> bool:
        """
        Return whether its position is unknown, because it is shorter than requested but not the last.

        If a server grants smaller pages than before, page numbers refer to the smaller size; only the first
        page still begins at the same position. A slice with neither a new record nor the last record of the
        previous slice, `last`, does not end the list, even if its count happens to match.
        """
        if position == 0 or self.size == 0 or self.is_full:
            return False
        is_beyond = self.end >= position and not self.keys <= last.keys
        reaches = is_beyond or self.last_id == last.last_id
        return not (reaches and self.is_reported_last)
