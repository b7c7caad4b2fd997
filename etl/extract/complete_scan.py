"""
A complete scan of a list: one pass if its order proves that it is complete, otherwise several.

A server may ignore `ordering`. Records can then move past the cursor unseen, even if pages overlap; the best
available proof is two consecutive passes that saw the same records. If pages could not overlap, because of a
corrupt record or because the server only grants short ones, a second pass is enough: a list is unlikely to
change and change back twice at exactly the same point.
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
    All records of one list; iterating yields its pages, repeatedly if one pass does not prove completeness.

    `granted` is the page size that the server grants, from this scan or an earlier one; None until a page is
    full. `max_page_size` is the largest page that it accepts; None if it has refused none. Without a filter,
    the list only ends at a page without new records, because tasks that are not in it are marked as removed.
    Raises DriftingPages if no two consecutive passes agree.
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
            f"the API does not keep the requested order, and {MAX_PASSES} consecutive passes differ; "
            "try again when fewer tasks are changing"
        )


class _Fingerprint:
    """
    A value that is equal for two passes that saw the same records, in any order; it does not store them.

    Python's hashes have 64 bits and differ between processes, so collisions cannot be constructed.
    """

    def __init__(self) -> None:
        self.value = (0, 0)

    def add(self, page: Page) -> None:
        number, total = self.value
        hashes = list(map(hash, page.keys))
        self.value = number + len(hashes), total + sum(hashes)
