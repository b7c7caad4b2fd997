"""The rows of `sync_runs`: opened before the first request, closed even on failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from etl import __version__
from etl.enums import RunStatus
from etl.errors import DatabaseError
from etl.models import RUNS

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from etl.sync.summary import RunSummary


def close_killed_runs(connection: sa.Connection, now: dt.datetime) -> None:
    """
    Close the row of a killed process. Only the holder of the writer's lock knows that it is dead.

    Every run does so when it opens its own row, so only the last row can be open.
    """
    last = sa.select(sa.func.max(RUNS.c.run_id)).scalar_subquery()
    connection.execute(
        sa.update(RUNS)
        .where(RUNS.c.run_id == last, RUNS.c.status == RunStatus.RUNNING)
        .values(
            status=RunStatus.INTERRUPTED, finished_at=now, error="the process ended without closing its run"
        )
    )


def open_run(connection: sa.Connection, summary: RunSummary) -> int:
    """Insert the run's row and return its number."""
    inserted = connection.execute(
        sa.insert(RUNS)
        .values(
            started_at=summary.started_at,
            mode=summary.mode,
            status="running",
            watermark_before=summary.watermark_before,
            version=__version__,
        )
        .returning(RUNS.c.run_id)
    )
    run_id = inserted.scalar_one_or_none()
    if run_id is None:
        raise DatabaseError(
            "the database did not store the row of this run in sync_runs: a trigger or rule that gcore-etl "
            "did not create suppresses it; drop it"
        )
    return int(run_id)


def save_counters(connection: sa.Connection, summary: RunSummary) -> None:
    """Update the open row, in the transaction of what it counts."""
    _update(connection, summary, summary.counters())


def close_run(connection: sa.Connection, summary: RunSummary, now: dt.datetime) -> None:
    """Close the row with the values of the summary."""
    closing = {
        "status": summary.status,
        "finished_at": now,
        "watermark_after": summary.watermark,
        "error": summary.error,
    }
    _update(connection, summary, {**summary.counters(), **closing})


def _update(connection: sa.Connection, summary: RunSummary, values: Mapping[str, object]) -> None:
    connection.execute(sa.update(RUNS).where(RUNS.c.run_id == summary.run_id).values(values))
