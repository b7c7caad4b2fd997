"""
A reading that must be complete: one walk where the order proves it, several where it does not.

A server may ignore `ordering`. Then records can jump over the cursor unseen, and no overlap of pages can show
it; what can be had is two walks in a row that saw the same records. Where pages could not overlap, about a
record that spoils them or because the server grants but a few, a second walk is as good as can be had: what
hides from one, by a list that moves at that moment and moves back, will not hide from two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from etl.errors import DriftingPages
from etl.extract.paginator import Paginator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from etl.extract.paginator import PageSource
    from etl.extract.payload import Page

MAX_WALKS = 6


class CompleteScan:
    """
    All of one list; iterating gives its pages, some of them several times where one walk proved nothing.

    `granted` is the page size that the server turned out to grant, or did when last asked, None while no page
    was full; `max_page_size` the largest that it accepts, None while it has refused none. Read without a
    filter, the list ends only where nothing new is shown: what is not on it is taken for gone. Raises
    DriftingPages when no two walks in a row agree.
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
        for _ in range(MAX_WALKS):
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
            f"the API does not keep the order it was asked for, and {MAX_WALKS} readings in a row differ; "
            "try again when fewer tasks are changing"
        )


class _Fingerprint:
    """
    Tells whether two walks saw the same set of records, in whatever order, without remembering them.

    Python's own hashes have 64 bits and differ from process to process: no two sets agree by design.
    """

    def __init__(self) -> None:
        self.value = (0, 0)

    def add(self, page: Page) -> None:
        number, total = self.value
        hashes = list(map(hash, page.keys))
        self.value = number + len(hashes), total + sum(hashes)
