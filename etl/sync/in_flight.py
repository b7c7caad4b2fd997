"""
Look again at every stored task that is not final, however old it is.

The lists of unfinished statuses come first: a request for each, whatever the length of the history. What a
list no longer shows is asked for by id, and only the list, asked for just that id, says that a task is gone.
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

    from etl.extract.paginator import PageSource
    from etl.extract.result import ResultPayload
    from etl.load.removals import SeenTasks

    class TaskSource(PageSource, Protocol):
        """What looking again at tasks needs of a client."""

        def fetch_detail(self, task_id: str) -> ResultPayload:
            """Read one task with its result."""
            ...


logger = logging.getLogger(__name__)

# In the order in which a task passes through them: one that moves on meanwhile is on a later list.
WAITING_STATUSES = ("RECEIVED", "PENDING")
OPEN_STATUSES = (*WAITING_STATUSES, "STARTED", "RETRY")
# So few are asked for one by one: the four lists would cost as much.
FEW = len(OPEN_STATUSES)
BATCH = 500


def iter_by_id(source: TaskSource, batches: Iterator[list[str]]) -> Iterator[tuple[str, Page | None]]:
    """Ask the list for one id at a time, several at once, else for the task; None where neither tells."""
    with DaemonPool(source.concurrency) as pool:
        for task_ids in batches:
            asked = [(task_id, pool.submit(_ask(source, task_id))) for task_id in task_ids]
            yield from ((task_id, await_result(future)) for task_id, future in asked)


def _ask(source: TaskSource, task_id: str) -> Callable[[], Page | None]:
    def ask() -> Page | None:
        gone = None
        try:
            answer = source.fetch_page({"task_id": task_id}, page=1, limit=2)
            if is_shown(task_id, answer) or is_gone(task_id, answer):
                return answer
        except NotFound:
            gone = Page(records=(), count=0)  # the list is there, and has nothing with this id
        except (RequestRefused, CorruptPage, BodyTooLarge):
            pass
        # The task itself tells its state, but a 404 of it may mean that its result has expired.
        try:
            return Page(records=(source.fetch_detail(task_id).task,), is_detail=True)
        except NotFound as error:
            if gone is None:
                logger.warning("task %s could not be looked at again: %s", task_id, error)
            return gone
        except (RequestRefused, UndecodableResult, BodyTooLarge) as error:
            logger.warning("task %s could not be looked at again: %s", task_id, error)
            return None

    return ask


def is_gone(task_id: str, answer: Page | None) -> bool:
    """Tell whether this answer proves that the task is gone: an empty list, by its own count too."""
    if answer is None:
        return False
    if answer.records or answer.count:
        logger.warning("the API was asked for task %s alone and answered with others", task_id)
        return False
    return True


def is_shown(task_id: str, answer: Page) -> bool:
    """Tell whether this answer shows the task that was asked for."""
    return any(task.task_id == task_id for task in answer.tasks)


def iter_unseen(seen: SeenTasks) -> Iterator[list[str]]:
    """Give the unfinished tasks that the run has not come by, a batch at a time."""
    after = ""
    while batch := seen.unseen_in_flight(BATCH, after):
        yield batch
        after = batch[-1]
