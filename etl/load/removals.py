"""
What a run has seen, and what it therefore proves to be gone.

The ids live in a temporary table of the run's own connection: memory does not grow with their number, and no
stored row is touched to remember them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from etl.load.dialect import as_rows, insert, is_any_of
from etl.models import DETAIL_DUE, HISTORY, IN_FLIGHT, RESULT_DUE, RESULTS, TASKS

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from etl.load.task_rows import Observation

_SEEN = sa.Table(
    "seen_task_ids",
    sa.MetaData(),
    sa.Column("task_id", sa.Text, primary_key=True),
    prefixes=["TEMPORARY"],
)
_IS_PRESENT = TASKS.c.removed_at.is_(None)
_IS_UNSEEN = ~sa.exists().where(_SEEN.c.task_id == TASKS.c.task_id)


class SeenTasks:
    """
    The tasks that one run has seen so far. The caller owns every transaction.

    With `began_empty` none was present when the run began: whatever is here, it has seen.
    """

    def __init__(self, connection: sa.Connection, *, began_empty: bool = False) -> None:
        self._connection = connection
        self._has_all = began_empty
        _SEEN.drop(connection, checkfirst=True)
        _SEEN.create(connection, checkfirst=False)

    def add(self, task_ids: Iterable[str]) -> None:
        """Note that these tasks are at the source."""
        if self._has_all:
            return
        statement = insert(self._connection, _SEEN).from_select(
            ["task_id"], sa.select(as_rows(self._connection, task_ids)).where(sa.true())
        )
        self._connection.execute(statement.on_conflict_do_nothing())

    def unseen_in_flight(self, limit: int, after: str = "") -> list[str]:
        """Give stored, unfinished tasks that the run has not seen, in the order of their ids."""
        if self._has_all:
            return []
        query = (
            sa.select(TASKS.c.task_id)
            .where(IN_FLIGHT, _IS_UNSEEN, TASKS.c.task_id > after)
            .order_by(TASKS.c.task_id)
            .limit(limit)
        )
        return list(self._connection.scalars(query))

    def count_missing(self) -> int:
        """Count the stored tasks that a complete read did not show."""
        if self._has_all:
            return 0
        query = sa.select(sa.func.count()).select_from(TASKS).where(_IS_PRESENT, _IS_UNSEEN)
        return self._connection.scalar(query) or 0

    def mark_missing(self, observation: Observation) -> None:
        """Mark what a complete read did not show as removed, and record it."""
        _mark(self._connection, sa.and_(_IS_PRESENT, _IS_UNSEEN), observation)

    def drop(self) -> None:
        """Give the space back."""
        _SEEN.drop(self._connection)


def count_in_flight(connection: sa.Connection) -> int:
    """Count the stored tasks that may still change."""
    query = sa.select(sa.func.count()).select_from(TASKS).where(IN_FLIGHT)
    return connection.scalar(query) or 0


def state_of(connection: sa.Connection, task_id: str) -> tuple[str | None, int | None] | None:
    """Give status and progress of a stored task."""
    row = connection.execute(
        sa.select(TASKS.c.status, TASKS.c.progress).where(TASKS.c.task_id == task_id)
    ).one_or_none()
    return None if row is None else (row.status, row.progress)


def newest_start(connection: sa.Connection) -> dt.datetime | None:
    """Give the last start of any stored task."""
    newest: dt.datetime | None = connection.scalar(sa.select(sa.func.max(TASKS.c.started_at)))
    return newest


def count_by_status(connection: sa.Connection) -> dict[str | None, int]:
    """Count the stored tasks that the source still has, as far as is known, by their status."""
    query = sa.select(TASKS.c.status, sa.func.count()).where(_IS_PRESENT).group_by(TASKS.c.status)
    return {row[0]: row[1] for row in connection.execute(query)}


def mark_removed(connection: sa.Connection, task_ids: Iterable[str], observation: Observation) -> None:
    """Mark tasks whose absence the source has stated one by one, and record it."""
    listed = list(task_ids)
    if listed:
        _mark(connection, sa.and_(_IS_PRESENT, is_any_of(connection, TASKS.c.task_id, listed)), observation)


def mark_all_removed(connection: sa.Connection, observation: Observation) -> int:
    """
    Mark every task as removed, record it, and return how many there were.

    None of their results, and none of their own pages, is asked for any longer.
    """
    count = connection.scalar(sa.select(sa.func.count()).select_from(TASKS).where(_IS_PRESENT)) or 0
    _mark(connection, _IS_PRESENT, observation)
    connection.execute(sa.update(TASKS).where(RESULT_DUE).values(is_result_due=False))
    connection.execute(sa.update(TASKS).where(DETAIL_DUE).values(detail_due_at=None))
    is_waiting = RESULTS.c.next_attempt_at.is_not(None)
    connection.execute(sa.update(RESULTS).where(is_waiting).values(next_attempt_at=None))
    return count


def _mark(connection: sa.Connection, condition: sa.ColumnElement[bool], observation: Observation) -> None:
    at: dt.datetime = observation.observed_at
    state = (TASKS.c.status, TASKS.c.progress)
    gone = sa.select(
        TASKS.c.task_id,
        sa.literal(observation.run_id),
        sa.literal(at, HISTORY.c.observed_at.type),
        sa.literal("removed"),
        *state,
        *state,
    ).where(condition)
    names = ["task_id", "run_id", "observed_at", "event"]
    names += ["status", "progress", "previous_status", "previous_progress"]
    connection.execute(sa.insert(HISTORY).from_select(names, gone))
    connection.execute(sa.update(TASKS).where(condition).values(removed_at=at, changed_at=at))
