"""
Reads every stored task in flight again, regardless of its age.

A few tasks are requested by id. If there are more, the lists of the statuses in flight are read first, and
only tasks that are no longer in them are requested by id. Only the list filtered by its id proves that a task
was deleted.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING

from etl.errors import BodyTooLarge, NotFound, RequestRefused, UndecodableResult
from etl.extract.daemon_pool import DaemonPool, await_result
from etl.extract.payload import CorruptPage, Page
from etl.models import OPEN_STATUSES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from etl.extract.page_source import PageSource
    from etl.extract.result import ResultPayload

    class TaskSource(PageSource, Protocol):
        """The part of a client that reading tasks again needs."""

        def fetch_detail(self, task_id: str) -> ResultPayload:
            """Return one task with its result."""
            ...


logger = logging.getLogger(__name__)

# Up to this many tasks are requested one by one, because the four lists would take as many requests.
MAX_BY_ID = len(OPEN_STATUSES)
BATCH = 500


def iter_by_id(source: TaskSource, batches: Iterator[list[str]]) -> Iterator[tuple[str, Page | None]]:
    """Yield the response of the list filtered by each id, or else of the task itself; None if both fail."""
    with DaemonPool(source.concurrency) as pool:
        for task_ids in batches:
            futures = [pool.submit(functools.partial(_fetch, source, task_id)) for task_id in task_ids]
            yield from zip(task_ids, map(await_result, futures), strict=True)


def _fetch(source: TaskSource, task_id: str) -> Page | None:
    removed = None
    try:
        response = source.fetch_page({"task_id": task_id}, page=1, limit=2)
        if is_shown(task_id, response) or is_removed(task_id, response):
            return response
    except NotFound:
        removed = Page(records=(), count=0)  # the list exists, and has no task with this id
    except (RequestRefused, CorruptPage, BodyTooLarge):
        pass
    # The task itself shows its state, but a 404 for it may only mean that its result has expired.
    try:
        return Page(records=(source.fetch_detail(task_id).task,), is_detail=True)
    except NotFound as error:
        if removed is None:
            logger.warning("task %s could not be read again: %s", task_id, error)
        return removed
    except (RequestRefused, UndecodableResult, BodyTooLarge) as error:
        logger.warning("task %s could not be read again: %s", task_id, error)
        return None


def is_removed(task_id: str, response: Page | None) -> bool:
    """Return whether a page proves that the task was deleted: it is empty, and its count is not above 0."""
    if response is None:
        return False
    if response.records or response.count:
        logger.warning(
            "the response to a request for task %s lists other tasks, or counts tasks that it omits", task_id
        )
        return False
    return True


def is_shown(task_id: str, response: Page) -> bool:
    """Return whether a page contains the requested task."""
    return any(task.task_id == task_id for task in response.tasks)
