"""
The number of tasks that a page may hold.

The maximum is not documented: a server may grant fewer tasks than requested, refuse a larger number, or fail.
A size that does not succeed is halved until one does.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from etl.errors import EmptyPage, SourceError
from etl.extract.page_source import ListSource

if TYPE_CHECKING:
    from etl.extract.page_source import PageSource
    from etl.extract.payload import Page


@dataclasses.dataclass(slots=True)
class PageSizes:
    """
    What is known about the sizes of the server's pages; each read of a list uses it, and adds to it.

    `requested` is the size to request. `granted` is the number of tasks on a full page, None until it is
    known: a server may return fewer than requested. `maximum` is the largest size that the server accepts,
    None if it has refused none.
    """

    requested: int
    granted: int | None = None
    maximum: int | None = None


def largest_page(source: PageSource, page_size: int) -> tuple[Page, int, str | None]:
    """
    Return the first page in the largest size that the server accepts, at most `page_size`, found by halving.

    Also return that size, and why the next larger one did not succeed. Raises the error of a page of one
    task.
    """
    tasks, limit, reason = ListSource(source, {}), page_size, None
    while True:
        try:
            page = source.fetch_page({}, page=1, limit=limit)
            error: SourceError = EmptyPage(page.count)
            if not tasks.is_doubtful(page) or not tasks.is_caused_by_page_size(error, limit, is_known=False):
                return page, limit, reason
        except SourceError as failure:
            error = failure
            if not tasks.is_caused_by_page_size(error, limit, is_known=reason is not None):
                raise
        limit, reason = limit // 2, str(error)
