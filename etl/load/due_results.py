"""The pending results that a run fetches, ordered by when they expire."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import sqlalchemy as sa

from etl.models import DETAIL_DUE, RESULT_DUE, RESULTS, TASKS, ResultState, TaskStatus

# The API keeps a result for "one month", without defining the number of days.
MIN_RETENTION, MAX_RETENTION = dt.timedelta(days=30), dt.timedelta(days=31)
# The waits between so many attempts add up to more than a day.
MIN_ATTEMPTS = 13
# Results that may expire within this time come first.
_URGENT_WITHIN = dt.timedelta(days=3)
# The pending results are these and those of RESULT_DUE, as in the view `results_expiring`. An archived result
# is requested again only if the task has run again since.
REQUESTED_AGAIN = sa.and_(
    RESULTS.c.state.in_([ResultState.UNAVAILABLE, ResultState.ARCHIVED]),
    RESULTS.c.next_attempt_at.is_not(None),
    ~TASKS.c.is_result_due,
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DueResult:
    """
    A finished task whose result is to be fetched.

    `finished_at` is when it finished. If the API has not told that, it `is_estimated`: a sync saw the last
    change of the task then.

    `is_detail_only`: only its processing times are missing, the result is not. `is_retry`: it was fetched
    before, and the task has not run since. `is_early`: its next attempt is not due yet, so a response without
    a result changes nothing.
    """

    task_id: str
    finished_at: dt.datetime
    is_estimated: bool = False
    is_detail_only: bool = False
    is_retry: bool = False
    is_early: bool = False

    def is_expired(self, now: dt.datetime, attempts: int) -> bool:
        """
        Return whether the API must have deleted the result by now.

        An estimate may come from a wrong clock, so it is believed only after attempts over more than a day.
        """
        is_certain = not self.is_estimated or attempts >= MIN_ATTEMPTS
        return is_certain and now - self.finished_at > MAX_RETENTION


def due_results(
    connection: sa.Connection, now: dt.datetime, limit: int, *, include_early: bool = False
) -> list[DueResult]:
    """
    Return at most `limit` results to fetch: those that expire next first, expired ones last.

    Results that may expire within three days come first, then the errors of failed tasks, which are few.
    A result whose last fetch failed comes after the others. With `include_early`, results that were
    unavailable are included even before their next attempt is due. Each query follows an index and stops at
    the limit, so its cost does not grow with the number of tasks.
    """
    completed_at, past = TASKS.c.completed_at, now - MAX_RETENTION
    next_attempt_at = RESULTS.c.next_attempt_at
    none = sa.literal(None, next_attempt_at.type).label("next_attempt_at"), sa.literal(0).label("failures")
    new = _select_due(*none).where(RESULT_DUE).order_by(completed_at)
    retries = _select_due(next_attempt_at, RESULTS.c.failures).join(
        RESULTS, RESULTS.c.task_id == TASKS.c.task_id
    )
    retries = retries.where(REQUESTED_AGAIN)
    if not include_early:
        retries = retries.where(next_attempt_at < now)
    queries = (
        new.where(completed_at >= past),
        new.where(completed_at >= past, TASKS.c.status == TaskStatus.FAILURE),
        # Lists of the older API version have no times.
        new.where(completed_at.is_(None)),
        retries.order_by(next_attempt_at),
        new.where(completed_at < past),
    )
    found = {row[0]: row for query in queries for row in connection.execute(query.limit(limit))}

    def rank(row: sa.Row[Any]) -> tuple[bool, bool, bool, bool, dt.datetime, str]:
        age = now - row.finished_at
        is_urgent = age > MIN_RETENTION - _URGENT_WITHIN
        is_late = not (is_urgent or row.status == TaskStatus.FAILURE)
        return age > MAX_RETENTION, row.failures > 0, not is_urgent, is_late, row.finished_at, row.task_id

    due = [
        DueResult(
            task_id=row.task_id,
            finished_at=row.finished_at,
            is_estimated=row.is_estimated,
            is_retry=row.next_attempt_at is not None,
            is_early=row.next_attempt_at is not None and row.next_attempt_at >= now,
        )
        for row in sorted(found.values(), key=rank)[:limit]
    ]
    return [*due, *_due_details(connection, now, limit - len(due))]


def any_archived_result(connection: sa.Connection, now: dt.datetime) -> DueResult | None:
    """Return one archived result, if there is any. Fetching it shows whether the API still serves results."""
    task_id = connection.scalar(
        sa.select(RESULTS.c.task_id).where(RESULTS.c.state == ResultState.ARCHIVED).limit(1)
    )
    return None if task_id is None else DueResult(task_id=task_id, finished_at=now)


def _select_due(*others: sa.ColumnElement[Any]) -> sa.Select[Any]:
    columns = (TASKS.c.completed_at, TASKS.c.changed_at)
    finished_at = sa.func.coalesce(*columns, type_=columns[0].type).label("finished_at")
    is_estimated = TASKS.c.completed_at.is_(None).label("is_estimated")
    return sa.select(TASKS.c.task_id, finished_at, is_estimated, TASKS.c.status, *others)


def _due_details(connection: sa.Connection, now: dt.datetime, limit: int) -> list[DueResult]:
    """Return the tasks that are requested by id only for their processing times."""
    query = _select_due().where(DETAIL_DUE, TASKS.c.detail_due_at <= now, ~TASKS.c.is_result_due)
    rows = connection.execute(query.order_by(TASKS.c.detail_due_at).limit(limit))
    return [DueResult(task_id=row.task_id, finished_at=row.finished_at, is_detail_only=True) for row in rows]
