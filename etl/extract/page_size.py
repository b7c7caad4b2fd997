"""
How many tasks a page may hold.

The maximum is not documented: a server may grant fewer than it is asked for, refuse a larger number, or fail
on it. A size that does not succeed is halved until one does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from etl.errors import ConfigurationError, RequestRefused, SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from etl.extract.pages import PageSource
    from etl.extract.payload import Page

# What servers answer to a page size they do not like; they answer the same to a filter they do not know.
SIZE_REFUSALS = frozenset({400, 413, 422})
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

    It did if a page of one task succeeds now. `is_known` if one has before.
    """
    if limit == 1 or (isinstance(error, RequestRefused) and error.status_code not in SIZE_REFUSALS):
        return False
    if is_known:
        return True
    try:
        source.fetch_page(filters, page=1, limit=1, patience=HALVING_PATIENCE)
    except (SourceError, ConfigurationError):
        return False
    return True


def largest_page(source: PageSource, page_size: int) -> tuple[Page, int, str | None]:
    """
    Return the first page in the largest size that the server accepts, at most `page_size`, found by halving.

    With it, that size, and why the next larger one did not succeed. Raises what a page of one task fails
    with.
    """
    limit, reason = page_size, None
    while True:
        try:
            return source.fetch_page({}, page=1, limit=limit), limit, reason
        except SourceError as error:
            if not is_size_to_blame(error, source, {}, limit=limit, is_known=reason is not None):
                raise
            limit, reason = limit // 2, str(error)
