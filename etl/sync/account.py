"""Whose tasks these are: another account's are refused before any of them is stored (promise P11)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import sqlalchemy as sa

from etl.errors import AccountChanged, NotThere, RequestRefused
from etl.extract.payload import SpoiltPage
from etl.models import TASKS
from etl.sync.in_flight import is_shown

if TYPE_CHECKING:
    from etl.extract.pages import PageSource
    from etl.extract.payload import Page

logger = logging.getLogger(__name__)

# So many stored tasks are asked for before an account is called another.
WITNESSES = 3


class Account:
    """
    The clients whose tasks were ever seen here.

    `client_ids` grows with what is shown. An account may have several clients, so a page without any that is
    known is no proof yet: it is another account if the source knows none of the tasks stored last either.
    `is_changed` if it is, and was allowed to be.
    """

    def __init__(
        self, connection: sa.Connection, source: PageSource, known: frozenset[int], *, may_change: bool
    ) -> None:
        self.client_ids = known
        self.is_changed = False
        self._connection, self._source, self._may_change = connection, source, may_change

    def check(self, page: Page) -> None:
        """Learn whose tasks a page shows. Raises AccountChanged if they are another account's."""
        shown = frozenset([task.client_id for task in page.tasks if task.client_id is not None])
        is_strange = bool(self.client_ids and shown) and self.client_ids.isdisjoint(shown)
        if is_strange and not self._knows_ours():
            if not self._may_change:
                raise AccountChanged(sorted(shown), sorted(self.client_ids))
            self.is_changed = True
            logger.warning("the source is another account, of client %s", sorted(shown))
        self.client_ids |= shown

    def _knows_ours(self) -> bool:
        query = (
            sa.select(TASKS.c.task_id)
            .where(TASKS.c.removed_at.is_(None), TASKS.c.started_at.is_not(None))
            .order_by(TASKS.c.started_at.desc())
            .limit(WITNESSES)
        )
        with self._connection.begin():
            witnesses = list(self._connection.scalars(query))
        return any(self._is_there(task_id) for task_id in witnesses)

    def _is_there(self, task_id: str) -> bool:
        try:
            return is_shown(task_id, self._source.fetch_page({"task_id": task_id}, page=1, limit=2))
        except (NotThere, RequestRefused, SpoiltPage):
            return False
