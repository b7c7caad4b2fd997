"""
Re-read every stored task in flight, however old it is.

The lists of the statuses in flight come first: a request for each, whatever the length of the history. Tasks
that are no longer on them are requested by id; only the list, asked for just that id, proves a task removed.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from etl.errors import BodyTooLarge, NotFound, RequestRefused, UndecodableResult
from etl.extract.daemon_pool import DaemonPool, await_result
from etl.extract.payload import CorruptPage, Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol

    from etl.extract.page_source import PageSource
    from etl.extract.result import ResultPayload
    from etl.load.removals import SeenTasks

    class TaskSource(PageSource, Protocol):
        """What re-reading tasks needs from a client."""

        def fetch_detail(self, task_id: str) -> ResultPayload:
            """Return one task with its result."""
            ...


logger = logging.getLogger(__name__)

# In the order of a task's life: one that moves on meanwhile is on a later list.
WAITING_STATUSES = ("RECEIVED", "PENDING")
OPEN_STATUSES = (*WAITING_STATUSES, "STARTED", "RETRY")
# Up to so many tasks are requested one by one: the four lists would cost as much.
MAX_BY_ID = len(OPEN_STATUSES)
BATCH = 500


def iter_by_id(source: TaskSource, batches: Iterator[list[str]]) -> Iterator[tuple[str, Page | None]]:
    """Yield what the list, asked for one id, or else the task itself returns; None if neither helps."""
    with DaemonPool(source.concurrency) as pool:
        for task_ids in batches:
            asked = [(task_id, pool.submit(_ask(source, task_id))) for task_id in task_ids]
            yield from ((task_id, await_result(future)) for task_id, future in asked)


def _ask(source: TaskSource, task_id: str) -> Callable[[], Page | None]:
    def ask() -> Page | None:
        removed = None
        try:
            answer = source.fetch_page({"task_id": task_id}, page=1, limit=2)
            if is_shown(task_id, answer) or is_removed(task_id, answer):
                return answer
        except NotFound:
            removed = Page(records=(), count=0)  # the list exists, and has no task with this id
        except (RequestRefused, CorruptPage, BodyTooLarge):
            pass
        # The task itself has its state, but a 404 for it may mean that its result has expired.
        try:
            return Page(records=(source.fetch_detail(task_id).task,), is_detail=True)
        except NotFound as error:
            if removed is None:
                logger.warning("task %s could not be re-read: %s", task_id, error)
            return removed
        except (RequestRefused, UndecodableResult, BodyTooLarge) as error:
            logger.warning("task %s could not be re-read: %s", task_id, error)
            return None

    return ask


def is_removed(task_id: str, answer: Page | None) -> bool:
    """Return whether a page proves that the task was removed: it is empty, and its count agrees."""
    if answer is None:
        return False
    if answer.records or answer.count:
        logger.warning("the API returned other tasks when asked for task %s alone", task_id)
        return False
    return True


def is_shown(task_id: str, answer: Page) -> bool:
    """Return whether a page holds the task that was asked for."""
    return any(task.task_id == task_id for task in answer.tasks)


def iter_unseen(seen: SeenTasks) -> Iterator[list[str]]:
    """Yield the stored tasks in flight that the run has not seen, a batch at a time."""
    after = ""
    while batch := seen.unseen_in_flight(BATCH, after):
        yield batch
        after = batch[-1]
