"""
The number of tasks that a page may hold.

The maximum is not documented: a server may grant fewer tasks than requested, refuse a larger number, or fail.
A size that does not succeed is halved until one does.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from etl.errors import (
    ConfigurationError,
    EmptyPage,
    NotFound,
    NotTheApi,
    RequestRefused,
    SourceError,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from etl.extract.page_source import PageSource
    from etl.extract.payload import Page

# Possible results of a page that is too long: a status, a proxy's page, no response, or an empty list.
SIZE_FAILURES = (RequestRefused, NotFound, NotTheApi, Unreachable, EmptyPage)
# Seconds for which a smaller page is retried, before an even smaller one is requested.
HALVING_PATIENCE = 3.0


@dataclasses.dataclass(slots=True)
class PageSizes:
    """
    What is known about the sizes of the server's pages; whoever reads a list uses it, and adds to it.

    `requested` is the size to request. `granted` is the size that the server grants, None until a page is
    full. `accepted` is the largest size that it accepts, None if it has refused none.
    """

    requested: int
    granted: int | None = None
    accepted: int | None = None


def is_size_to_blame(
    error: SourceError,
    source: PageSource,
    filters: Mapping[str, str],
    *,
    limit: int,
    is_known: bool = False,
) -> bool:
    """
    Return whether a page of `limit` tasks failed with this error because it is too long.

    It did if a page of one task succeeds now; with `is_known`, one has succeeded before. Servers and proxies
    refuse pages that are too long with many statuses, some of which also mean an unknown filter.
    """
    if limit == 1 or not isinstance(error, SIZE_FAILURES):
        return False
    if is_known and not isinstance(error, EmptyPage):
        return True
    try:
        shown = source.fetch_page(filters, page=1, limit=1, patience=HALVING_PATIENCE)
    except (SourceError, ConfigurationError):
        return False
    return bool(shown.records) or not isinstance(error, EmptyPage)


def is_doubtful(page: Page, filters: Mapping[str, str]) -> bool:
    """Return whether a first page is empty although the list may not be."""
    return not page.records and (page.count != 0 or filters.keys() <= {"ordering"})


def largest_page(source: PageSource, page_size: int) -> tuple[Page, int, str | None]:
    """
    Return the first page in the largest size that the server accepts, at most `page_size`, found by halving.

    Also return that size, and why the next larger one did not succeed. Raises the error of a page of one
    task.
    """
    limit, reason = page_size, None
    while True:
        try:
            page = source.fetch_page({}, page=1, limit=limit)
            error: SourceError = EmptyPage(page.count)
            if not is_doubtful(page, {}) or not is_size_to_blame(error, source, {}, limit=limit):
                return page, limit, reason
        except SourceError as failure:
            error = failure
            if not is_size_to_blame(error, source, {}, limit=limit, is_known=reason is not None):
                raise
        limit, reason = limit // 2, str(error)
