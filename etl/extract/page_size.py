"""
How many tasks a page may hold.

The maximum is not documented: a server may grant fewer than it is asked for, refuse a larger number, or fail
on it. A size that does not succeed is halved until one does.
"""

from __future__ import annotations

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

    from etl.extract.paginator import PageSource
    from etl.extract.payload import Page

# What may come of asking for too many: a status, a page of a proxy, no answer at all, or an empty list.
SIZE_FAILURES = (RequestRefused, NotFound, NotTheApi, Unreachable, EmptyPage)
# Seconds for which a smaller page is retried: a server that fails on it too is asked for a smaller one still.
HALVING_PATIENCE = 3.0


def is_size_to_blame(
    error: SourceError,
    source: PageSource,
    filters: Mapping[str, str],
    *,
    limit: int,
    is_known: bool = False,
) -> bool:
    """
    Return whether a page of `limit` tasks failed with this error because it is so long.

    It did if a page of one task succeeds now. `is_known` if one has before. Servers, and what stands before
    them, refuse what is too long with many statuses, and some of them refuse a filter with the same.
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
    """Return whether a first page is empty though something is there, or may be, for all that is known."""
    return not page.records and (page.count != 0 or filters.keys() <= {"ordering"})


def largest_page(source: PageSource, page_size: int) -> tuple[Page, int, str | None]:
    """
    Return the first page in the largest size that the server accepts, at most `page_size`, found by halving.

    With it, that size, and why the next larger one did not succeed. Raises what a page of one task fails
    with.
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
