"""
A complete scan of a list: one pass if the order proves that it is complete, several if it does not.

A server may ignore `ordering`. Then records can jump over the cursor unseen, and overlapping pages do not
show it; the best available proof is two passes in a row that saw the same records. Where pages could not
overlap, next to a corrupt record or because the server grants only short ones, a second pass is enough: a
list that changed and changed back at just that moment does not do so twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from etl.errors import DriftingPages
from etl.extract.paginator import Paginator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from etl.extract.page_source import PageSource
    from etl.extract.payload import Page

MAX_PASSES = 6


class CompleteScan:
    """
    All of one list; iterating yields its pages, some of them several times if one pass proved nothing.

    `granted` is the page size that the server turned out to grant, or did when last asked, None while no page
    was full; `max_page_size` the largest that it accepts, None while it has refused none. Without a filter,
    the list only ends at a page without new records, because tasks that are not on it are marked as removed.
    Raises DriftingPages if no two passes in a row agree.
    """

    def __init__(
        self, source: PageSource, filters: Mapping[str, str], *, page_size: int, granted: int | None = None
    ) -> None:
        self.granted = granted
        self.max_page_size: int | None = None
        self._source, self._filters, self._page_size = source, filters, page_size

    def __iter__(self) -> Iterator[Page]:
        before: tuple[int, int] | None = None
        own_size: int | None = None
        for _ in range(MAX_PASSES):
            paginator = Paginator(
                self._source,
                self._filters,
                page_size=self.max_page_size or self._page_size,
                granted=self.granted,
                own_size=own_size,
                proves_end=not self._filters,
            )
            seen = _Fingerprint()
            for page in paginator:
                seen.add(page)
                yield page
            self.granted, own_size = paginator.granted, paginator.own_size
            self.max_page_size = paginator.max_page_size or self.max_page_size
            is_proved = paginator.is_ordered and (paginator.is_joined or before is not None)
            if is_proved or paginator.slices == 1 or seen.value == before:
                return
            before = seen.value
        raise DriftingPages(
            f"the API does not keep the order it was asked for, and {MAX_PASSES} passes in a row differ; "
            "try again when fewer tasks are changing"
        )


class _Fingerprint:
    """
    Shows whether two passes saw the same records, in any order, without storing them.

    Python's hashes have 64 bits and differ between processes: nobody can construct two sets that agree.
    """

    def __init__(self) -> None:
        self.value = (0, 0)

    def add(self, page: Page) -> None:
        number, total = self.value
        hashes = list(map(hash, page.keys))
        self.value = number + len(hashes), total + sum(hashes)
