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
from etl.extract.page_source import ListSource
from etl.extract.paginator import Paginator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from etl.extract.page_size import PageSizes
    from etl.extract.page_source import PageSource
    from etl.extract.payload import Page

MAX_PASSES = 6


def complete_scan(source: PageSource, filters: Mapping[str, str], sizes: PageSizes) -> Iterator[Page]:
    """
    Yield all pages of one list, repeatedly if one pass does not prove completeness.

    Without a filter, the list only ends at a page without new records, because tasks that are not in it are
    marked as removed. Raises DriftingPages if no two consecutive passes agree.
    """
    before: tuple[int, int] | None = None
    tasks = ListSource(source, {"ordering": "task_id", **filters})
    for _ in range(MAX_PASSES):
        paginator = Paginator(tasks, sizes, proves_end=not filters)
        # Equal for two passes that saw the same records, in any order. Python's hashes have 64 bits and
        # differ between processes, so collisions cannot be constructed.
        slices = number = total = 0
        for page in paginator:
            slices += 1
            number += len(page.keys)
            total += sum(map(hash, page.keys))
            yield page
        is_proved = paginator.is_ordered and (paginator.is_joined or before is not None)
        if is_proved or slices == 1 or before == (number, total):
            return
        before = number, total
    raise DriftingPages(
        f"the API does not keep the requested order, and {MAX_PASSES} consecutive passes differ; "
        "try again when fewer tasks are changing"
    )
