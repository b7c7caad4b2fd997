"""What the database contains, and how fresh it is."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import sqlalchemy as sa

from etl.load.rejected_records import count_rejected
from etl.models import IN_FLIGHT, RUNS, TASKS, RunStatus
from etl.sync.state import read_state

SOON = dt.timedelta(days=7)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """
    The state of the database at one instant.

    `by_status` counts the tasks that are not marked as removed. The key of those without a status is None, in
    JSON `"null"`. `deleted_waiting` is the surplus of the last count audit: the number of tasks that,
    according to the API's count, have been deleted but are not marked as removed yet; None if that count was
    not usable.
    """

    by_status: dict[str | None, int]
    removed: int
    deleted_waiting: int | None
    in_flight: int
    rejected: int
    results_waiting: int
    results_expiring_soon: int
    first_result_lost_at: dt.datetime | None
    watermark: dt.datetime | None
    date_filter: str | None
    last_full_at: dt.datetime | None
    last_run: dict[str, Any] | None
    last_success_at: dt.datetime | None

    @property
    def present(self) -> int:
        """The number of tasks that are not marked as removed."""
        return sum(self.by_status.values())


def read_status(connection: sa.Connection) -> Status:
    """Return the status of the database, read inside the caller's transaction."""
    counts = connection.execute(
        sa.select(TASKS.c.status, TASKS.c.removed_at.is_(None), sa.func.count()).group_by(
            TASKS.c.status, TASKS.c.removed_at.is_(None)
        )
    ).all()
    by_status = {status: number for status, is_present, number in counts if is_present}
    expiring = connection.execute(
        sa.text(
            "SELECT count(*), coalesce(sum(CASE WHEN days_left BETWEEN 0 AND :soon THEN 1 ELSE 0 END), 0), "
            "min(CASE WHEN days_left >= 0 THEN expires_at END) AS first_expires_at "
            "FROM results_expiring"
        ).columns(first_expires_at=TASKS.c.completed_at.type),
        {"soon": SOON.days},
    ).one()
    state = read_state(connection)
    runs = recent_runs(connection, limit=1)
    return Status(
        by_status=dict(sorted(by_status.items(), key=lambda each: (each[0] is None, each[0] or ""))),
        removed=sum(number for _, is_present, number in counts if not is_present),
        deleted_waiting=state.surplus,
        in_flight=connection.scalar(sa.select(sa.func.count()).select_from(TASKS).where(IN_FLIGHT)) or 0,
        rejected=count_rejected(connection),
        results_waiting=expiring[0],
        results_expiring_soon=int(expiring[1]),
        first_result_lost_at=expiring[2],
        watermark=state.watermark,
        date_filter=state.date_filter,
        last_full_at=state.last_full_at,
        last_run=runs[0] if runs else None,
        last_success_at=connection.scalar(
            sa.select(sa.func.max(RUNS.c.finished_at)).where(RUNS.c.status == RunStatus.SUCCEEDED)
        ),
    )


def recent_runs(connection: sa.Connection, *, limit: int) -> list[dict[str, Any]]:
    """Return the last runs, newest first, as dictionaries of the columns of `sync_runs`."""
    query = sa.select(RUNS).order_by(RUNS.c.run_id.desc()).limit(limit)
    return [dict(row) for row in connection.execute(query).mappings()]
