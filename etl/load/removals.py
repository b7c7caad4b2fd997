"""
Marking deleted tasks as removed.

The ids of the tasks that a run has seen are kept in a temporary table of its connection, so that memory
does not grow with their number, and no stored row is updated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from etl.load.dialect import as_rows, insert, is_any_of
from etl.load.task_rows import EVENT_NAMES
from etl.models import DETAIL_DUE, HISTORY, IN_FLIGHT, RESULT_DUE, RESULTS, TASKS, HistoryEvent, ResultState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from etl.load.task_rows import Observation

# Postgres compares whole tables by hashing, which needs no index; without one, it stores the ids faster.
_SEEN = sa.Table(
    "seen_task_ids",
    sa.MetaData(),
    sa.Column("task_id", sa.Text),
    sa.Index("ix_seen_task_ids", "task_id", unique=True).ddl_if(dialect="sqlite"),
    prefixes=["TEMPORARY"],
)
_IS_PRESENT = TASKS.c.removed_at.is_(None)
_IS_UNSEEN = ~sa.exists().where(_SEEN.c.task_id == TASKS.c.task_id)


class SeenTasks:
    """
    The tasks that one run has seen so far. The caller owns every transaction.

    If the run `began_empty`, no task was stored when it began, so it has seen every stored task.
    """

    def __init__(self, connection: sa.Connection, *, began_empty: bool = False) -> None:
        self._connection = connection
        self._has_all = began_empty
        _SEEN.drop(connection, checkfirst=True)
        _SEEN.create(connection, checkfirst=False)

    def add(self, task_ids: Iterable[str]) -> None:
        """Record that these tasks exist."""
        if self._has_all:
            return
        statement = insert(self._connection, _SEEN).from_select(
            ["task_id"], sa.select(as_rows(self._connection, task_ids)).where(sa.true())
        )
        self._connection.execute(statement.on_conflict_do_nothing())

    def unseen_in_flight(self, limit: int, after: str = "") -> list[str]:
        """Return the next `limit` ids, after `after`, of tasks in flight that the run has not seen."""
        if self._has_all:
            return []
        in_flight = sa.select(TASKS.c.task_id).where(IN_FLIGHT, TASKS.c.task_id > after)
        unseen = sa.except_(in_flight, sa.select(_SEEN.c.task_id))
        return list(self._connection.scalars(unseen.order_by("task_id").limit(limit)))

    def count_missing(self) -> int:
        """Return the number of stored tasks that the run has not seen."""
        if self._has_all:
            return 0
        query = sa.select(sa.func.count()).select_from(TASKS).where(_IS_PRESENT, _IS_UNSEEN)
        return self._connection.scalar(query) or 0

    def mark_missing(self, observation: Observation) -> None:
        """Mark the tasks that the run has not seen as removed. Valid only after a complete scan."""
        _mark(self._connection, sa.and_(_IS_PRESENT, _IS_UNSEEN), observation)


def mark_removed(connection: sa.Connection, task_ids: Iterable[str], observation: Observation) -> None:
    """Mark these tasks as removed, with a history event for each."""
    listed = list(task_ids)
    if listed:
        _mark(connection, sa.and_(_IS_PRESENT, is_any_of(connection, TASKS.c.task_id, listed)), observation)


def mark_all_removed(connection: sa.Connection, observation: Observation) -> int:
    """
    Mark every task as removed, and return the number of tasks.

    Their results and details are no longer fetched: results that were not available yet count as expired.
    """
    count = connection.scalar(sa.select(sa.func.count()).select_from(TASKS).where(_IS_PRESENT)) or 0
    _mark(connection, _IS_PRESENT, observation)
    connection.execute(sa.update(TASKS).where(RESULT_DUE).values(is_result_due=False))
    connection.execute(sa.update(TASKS).where(DETAIL_DUE).values(detail_due_at=None))
    is_unavailable = RESULTS.c.state == ResultState.UNAVAILABLE
    connection.execute(sa.update(RESULTS).where(is_unavailable).values(state=ResultState.EXPIRED))
    has_attempt = RESULTS.c.next_attempt_at.is_not(None)
    connection.execute(sa.update(RESULTS).where(has_attempt).values(next_attempt_at=None))
    return count


def _mark(connection: sa.Connection, condition: sa.ColumnElement[bool], observation: Observation) -> None:
    at = observation.observed_at
    state = (TASKS.c.status, TASKS.c.progress)
    events = sa.select(
        TASKS.c.task_id,
        sa.literal(observation.run_id),
        sa.literal(at, HISTORY.c.observed_at.type),
        sa.literal(HistoryEvent.REMOVED.value),
        *state,
        *state,
    ).where(condition)
    connection.execute(sa.insert(HISTORY).from_select(EVENT_NAMES, events))
    connection.execute(sa.update(TASKS).where(condition).values(removed_at=at, changed_at=at))
