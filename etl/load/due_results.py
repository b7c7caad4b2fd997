"""Which results to ask for, and in which order: the next to be deleted first."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import sqlalchemy as sa

from etl.models import DETAIL_DUE, RESULT_DUE, RESULTS, TASKS

# The API keeps a result for a month, and nobody says how long that is.
KEPT_AT_LEAST, KEPT_FOR = dt.timedelta(days=30), dt.timedelta(days=31)
# Results that may be deleted within this time come before everything else.
URGENT = dt.timedelta(days=3)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DueResult:
    """
    A finished task to be asked for; `finished_at` is when it finished, or the latest it can have been.

    `is_detail_only` if just the times on its own page are wanted: it has no result, or that is settled.
    `is_again` if the task has not run since it was asked for; `is_early` if it was to be asked for later:
    then the answer that there is nothing changes nothing.
    """

    task_id: str
    finished_at: dt.datetime
    is_detail_only: bool = False
    is_again: bool = False
    is_early: bool = False

    def is_expired(self, now: dt.datetime) -> bool:
        """Tell whether the API must have deleted the result by now."""
        return now - self.finished_at > KEPT_FOR


def due_results(
    connection: sa.Connection, now: dt.datetime, limit: int, *, is_all: bool = False
) -> list[DueResult]:
    """
    Return what to ask for, at most `limit`: the nearest to deletion first, those past it last.

    Those that may be deleted within URGENT lead; then come the errors of failed tasks, which are few and say
    why. A result that could not be fetched last time gives way to the others. With `is_all`, results that
    were not there yet are included whenever they were asked for last. Each query stops at the limit, in the
    order of an index: of a million only the head is looked at.
    """
    completed_at, past = TASKS.c.completed_at, now - KEPT_FOR
    next_attempt_at = RESULTS.c.next_attempt_at
    never = sa.literal(None, next_attempt_at.type).label("next_attempt_at"), sa.literal(0).label("failures")
    never_asked = _waiting(*never).where(RESULT_DUE).order_by(completed_at)
    again = _waiting(next_attempt_at, RESULTS.c.failures).join(RESULTS, RESULTS.c.task_id == TASKS.c.task_id)
    # One that is archived waits only if the task ran again since.
    again = again.where(RESULTS.c.state.in_(["unavailable", "archived"]), ~TASKS.c.is_result_due)
    again = again.where(next_attempt_at.is_not(None) if is_all else next_attempt_at < now)
    queries = (
        never_asked.where(completed_at >= past),
        never_asked.where(completed_at >= past, TASKS.c.status == "FAILURE"),
        # The older shape of lists has no times: their order is that in which they came.
        never_asked.where(completed_at.is_(None)),
        again.order_by(next_attempt_at),
        never_asked.where(completed_at < past),
    )
    found = {row[0]: row for query in queries for row in connection.execute(query.limit(limit))}

    def rank(due: DueResult) -> tuple[bool, bool, int, dt.datetime, str]:
        row = found[due.task_id]
        place = 1 if row.status == "FAILURE" else 2
        if due.finished_at < now - KEPT_AT_LEAST + URGENT:
            place = 0
        return due.is_expired(now), row.failures > 0, place, due.finished_at, due.task_id

    due = [
        DueResult(
            task_id=row.task_id,
            finished_at=row.finished_at,
            is_again=row.next_attempt_at is not None,
            is_early=row.next_attempt_at is not None and row.next_attempt_at >= now,
        )
        for row in found.values()
    ]
    due = sorted(due, key=rank)[:limit]
    return [*due, *_due_details(connection, now, limit - len(due))]


def an_archived_result(connection: sa.Connection, now: dt.datetime) -> DueResult | None:
    """Return a result that was fetched once, if there is any: the API has it, or says that it has not."""
    task_id = connection.scalar(sa.select(RESULTS.c.task_id).where(RESULTS.c.state == "archived").limit(1))
    return None if task_id is None else DueResult(task_id=task_id, finished_at=now)


def _waiting(*others: sa.ColumnElement[Any]) -> sa.Select[Any]:
    columns = (TASKS.c.completed_at, TASKS.c.first_seen_at)
    finished_at = sa.func.coalesce(*columns, type_=columns[0].type).label("finished_at")
    return sa.select(TASKS.c.task_id, finished_at, TASKS.c.status, *others)


def _due_details(connection: sa.Connection, now: dt.datetime, limit: int) -> list[DueResult]:
    """Return the tasks whose own page is wanted for their times alone."""
    query = _waiting().where(DETAIL_DUE, TASKS.c.detail_due_at <= now, ~TASKS.c.is_result_due)
    rows = connection.execute(query.order_by(TASKS.c.detail_due_at).limit(limit))
    return [DueResult(task_id=row.task_id, finished_at=row.finished_at, is_detail_only=True) for row in rows]
