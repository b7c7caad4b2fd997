"""
Which results the API will delete before a sync gets to them.

They are fetched in the order of their deletion, so many a run: whether the last one will be in time follows
from how many stand before it, day by day.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import statistics
from collections import Counter

import sqlalchemy as sa

from etl.load.dialect import utc_day
from etl.load.due_results import MAX_RETENTION, MIN_RETENTION
from etl.models import RESULT_DUE, RESULTS, RUNS, TASKS
from etl.settings import format_duration

# Who has synced only once may do so every day.
USUAL_INTERVAL = dt.timedelta(days=1)
_RECENT_RUNS = 10
# Nobody syncs more often than this.
_OFTEN = dt.timedelta(minutes=2)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """
    What is to be fetched, and in time or not.

    `waiting` counts results that are neither archived nor given up, `never_asked` those of them whose turn
    has not come, `at_risk` those of these that a sync every `interval` will come too late for;
    `first_lost_at` is when the API may delete the first that waits, at the earliest now.
    """

    waiting: int
    never_asked: int
    at_risk: int
    first_lost_at: dt.datetime | None
    interval: dt.timedelta

    @property
    def every(self) -> str:
        """Return the interval as a person would give it."""
        return format_duration(_rounded(self.interval))

    def warning(self, per_run: int) -> str:
        """Say what will be lost, and what to do about it."""
        raise_it = f"raise --max-results (now {per_run:,})"
        remedy = f"sync more often than every {self.every}, or {raise_it}"
        return (
            f"{self.at_risk:,} of {self.waiting:,} results that wait may be deleted by the API before a sync "
            f"gets to them, the first on {self.first_lost_at:%Y-%m-%d}: "
            f"{remedy if self.interval > _OFTEN else raise_it}"
        )


def read_forecast(
    connection: sa.Connection, now: dt.datetime, *, per_run: int, interval: dt.timedelta | None = None
) -> Forecast:
    """Look at what waits, inside the caller's transaction; `interval` is that of recent runs if not known."""
    interval = interval or _recent_interval(connection)
    never_asked, again = _count_by_day(connection)
    # Nobody will get back what was lost before.
    first_kept = f"{now - MAX_RETENTION:%Y-%m-%d}"
    days = sorted(day for day in {*never_asked, *again} if day is not None and day >= first_kept)
    fetched = at_risk = 0
    for day in days:
        turns = max(0, (_lost_at(day) - now) // interval) * per_run
        in_time = min(never_asked[day], max(0, turns - fetched))
        fetched += in_time
        at_risk += never_asked[day] - in_time
    return Forecast(
        waiting=never_asked.total() + again.total(),
        never_asked=never_asked.total(),
        at_risk=at_risk,
        # A month may be over for one that is still there.
        first_lost_at=max(now, _lost_at(days[0])) if days else None,
        interval=interval,
    )


def _rounded(span: dt.timedelta) -> dt.timedelta:
    """Round to whole days, hours, minutes or seconds: the largest of which there are at least two."""
    units = (dt.timedelta(days=1), dt.timedelta(hours=1), dt.timedelta(minutes=1))
    unit = next((unit for unit in units if span >= 2 * unit), dt.timedelta(seconds=1))
    return max(round(span / unit), 1) * unit


def _lost_at(day: str) -> dt.datetime:
    return dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC) + MIN_RETENTION


def _count_by_day(connection: sa.Connection) -> list[Counter[str | None]]:
    """Count what was never asked for, and what is asked for again, by the UTC day of completion if known."""
    day = utc_day(connection, TASKS.c.completed_at)
    never_asked = sa.select(day, sa.func.count()).select_from(TASKS).where(RESULT_DUE).group_by(day)
    again = sa.select(day, sa.func.count()).join_from(RESULTS, TASKS, RESULTS.c.task_id == TASKS.c.task_id)
    again = again.where(RESULTS.c.state == "unavailable", ~TASKS.c.is_result_due).group_by(day)
    counts: list[Counter[str | None]] = []
    for query in (never_asked, again):
        counts.append(Counter())
        counts[-1].update({row[0]: row[1] for row in connection.execute(query)})
    return counts


def _recent_interval(connection: sa.Connection) -> dt.timedelta:
    last = sa.select(sa.func.max(RUNS.c.run_id)).scalar_subquery()
    recent = RUNS.c.run_id > last - _RECENT_RUNS
    query = sa.select(RUNS.c.started_at).where(recent).order_by(RUNS.c.run_id.desc())
    starts = list(connection.scalars(query))
    gaps = [later - earlier for later, earlier in itertools.pairwise(starts) if later > earlier]
    return statistics.median(gaps) if gaps else USUAL_INTERVAL
