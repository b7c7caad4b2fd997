"""The check that a copy contains the tasks of a single account (promise P11)."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

import sqlalchemy as sa

from etl.errors import AccountChanged, BodyTooLarge, NotFound, RequestRefused, UndecodableResult
from etl.extract.page_size import largest_page
from etl.extract.payload import CorruptPage
from etl.load.dialect import is_any_of
from etl.models import IN_FLIGHT, TASKS
from etl.sync.in_flight import is_shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.extract.payload import Page
    from etl.sync.in_flight import TaskSource
    from etl.sync.state import SyncState

logger = logging.getLogger(__name__)

# So many stored tasks of each kind are requested before the account counts as another one.
SAMPLE_SIZE = 3


class Account:
    """
    The clients of the account that a run reads.

    The first page with a task decides: the account is the stored one if a client or task of that page is
    stored, or if the API has a stored task. All later pages belong to the same account, which may have
    many clients. `is_changed` means that it is another account and that switching is allowed; `client_ids`
    are then only those of the new account.
    """

    def __init__(
        self,
        connection: sa.Connection,
        source: TaskSource,
        state: SyncState,
        *,
        page_size: int,
        may_change: bool = False,
    ) -> None:
        self.client_ids = state.client_ids
        self.is_changed = False
        self._connection, self._source = connection, source
        self._may_change, self._page_size = may_change, state.max_page_size or page_size
        # If nothing is stored, nothing can be mixed up.
        self._is_decided = not state.client_ids and not state.present_tasks

    def check(self, page: Page) -> None:
        """Add the clients of a page. Raises AccountChanged if its tasks belong to another account."""
        shown = _clients_of(page)
        if not self._is_decided and page.tasks:
            self._is_decided = True
            if not self._is_ours(page):
                self._change(shown)
        self.client_ids |= shown

    def _change(self, shown: frozenset[int]) -> None:
        if not self._may_change:
            raise AccountChanged(sorted(shown), sorted(self.client_ids))
        logger.warning(
            "the API key belongs to another account: this copy is switched to it, and all tasks of the old "
            "account are marked as removed"
        )
        self.client_ids = frozenset()
        self.is_changed = True

    def _is_ours(self, page: Page) -> bool:
        if not self.client_ids.isdisjoint(_clients_of(page)) or self._is_any_stored(page):
            return True
        if any(self._is_there(task_id) for task_id in self._sample()):
            return True
        # All of these may have been deleted; a longer page includes older tasks.
        try:
            page, _, _ = largest_page(self._source, self._page_size)
        except (CorruptPage, BodyTooLarge):
            return False
        return not self.client_ids.isdisjoint(_clients_of(page)) or self._is_any_stored(page)

    def _is_any_stored(self, page: Page) -> bool:
        query = sa.select(TASKS.c.task_id).where(TASKS.c.removed_at.is_(None))
        query = query.where(is_any_of(self._connection, TASKS.c.task_id, page.ids))
        with self._connection.begin():
            return self._connection.execute(query.limit(1)).first() is not None

    def _sample(self) -> Iterator[str]:
        """Yield tasks that the account should still have: the latest, some in flight, and some others."""
        present = sa.select(TASKS.c.task_id).where(TASKS.c.removed_at.is_(None))
        queries = (
            present.where(TASKS.c.started_at.is_not(None)).order_by(TASKS.c.started_at.desc()),
            present.where(IN_FLIGHT).order_by(TASKS.c.task_id),
            present.order_by(TASKS.c.task_id),
            present.order_by(TASKS.c.task_id.desc()),
        )
        with self._connection.begin():
            found = [list(self._connection.scalars(query.limit(SAMPLE_SIZE))) for query in queries]
        yield from dict.fromkeys(task_id for task_ids in found for task_id in task_ids)

    def _is_there(self, task_id: str) -> bool:
        """Return whether the API has a task: according to the list, or else to a request by id."""
        with contextlib.suppress(NotFound, RequestRefused, CorruptPage, BodyTooLarge):
            response = self._source.fetch_page({"task_id": task_id}, page=1, limit=2)
            if is_shown(task_id, response) or not response.tasks:
                return is_shown(task_id, response)
        with contextlib.suppress(NotFound, RequestRefused, UndecodableResult, BodyTooLarge):
            return self._source.fetch_detail(task_id).task.task_id == task_id
        return False


def _clients_of(page: Page) -> frozenset[int]:
    return frozenset(page.column("client_id"))
