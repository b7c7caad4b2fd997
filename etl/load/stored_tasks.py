"""Queries about the stored tasks that a sync needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from etl.models import IN_FLIGHT, TASKS

if TYPE_CHECKING:
    import datetime as dt


def count_in_flight(connection: sa.Connection) -> int:
    """Return the number of stored tasks that may still change."""
    query = sa.select(sa.func.count()).select_from(TASKS).where(IN_FLIGHT)
    return connection.scalar(query) or 0


def count_by_status(connection: sa.Connection) -> dict[str | None, int]:
    """Return the number of stored tasks in each status, without those marked as removed."""
    query = sa.select(TASKS.c.status, sa.func.count()).where(TASKS.c.removed_at.is_(None))
    return {row[0]: row[1] for row in connection.execute(query.group_by(TASKS.c.status))}


def read_state(connection: sa.Connection, task_id: str) -> tuple[str | None, int | None] | None:
    """Return the status and progress of a stored task; None if it is not stored."""
    row = connection.execute(
        sa.select(TASKS.c.status, TASKS.c.progress).where(TASKS.c.task_id == task_id)
    ).one_or_none()
    return None if row is None else (row.status, row.progress)


def newest_start(connection: sa.Connection) -> dt.datetime | None:
    """Return the latest `started_at` of all stored tasks."""
    newest: dt.datetime | None = connection.scalar(sa.select(sa.func.max(TASKS.c.started_at)))
    return newest
