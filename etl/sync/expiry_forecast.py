"""
The results that the API will delete before a sync fetches them.

They are fetched in the order of their deletion, a limited number per run. Whether one is fetched in time
depends on the number before it, counted by day.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import statistics
from collections import Counter

import sqlalchemy as sa

from etl.load.dialect import utc_day
from etl.load.due_results import KEPT_AT_LEAST, KEPT_FOR
from etl.models import RESULT_DUE, RESULTS, RUNS, TASKS
from etl.settings import format_duration

# Assumed after a single run.
USUAL_INTERVAL = dt.timedelta(days=1)
_RECENT_RUNS = 10
# Syncing more often than this is not advised.
_OFTEN = dt.timedelta(minutes=2)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """
    The results to be fetched, and whether that will be in time.

    `waiting` is the number of results that are neither archived nor given up, `never_asked` of those not
    requested yet, `at_risk` of those that a sync every `interval` will fetch too late; `first_lost_at` is
    when the API may delete the first pending one, now at the earliest.
    """

    waiting: int
    never_asked: int
    at_risk: int
    first_lost_at: dt.datetime | None
    interval: dt.timedelta

    @property
    def every(self) -> str:
        """The interval, rounded, in words."""
        return format_duration(_rounded(self.interval))

    def warning(self, per_run: int) -> str:
        """Return the warning about results at risk, and what to do."""
        raise_it = f"raise --max-results (now {per_run:,})"
        remedy = f"sync more often than every {self.every}, or {raise_it}"
        return (
            f"{self.at_risk:,} of {self.waiting:,} pending results may be deleted by the API before a sync "
            f"fetches them, the first on {self.first_lost_at:%Y-%m-%d}: "
            f"{remedy if self.interval > _OFTEN else raise_it}"
        )


def read_forecast(
    connection: sa.Connection, now: dt.datetime, *, per_run: int, interval: dt.timedelta | None = None
) -> Forecast:
    """Return the forecast, inside the caller's transaction; the interval defaults to that of recent runs."""
    interval = interval or _recent_interval(connection)
    never_asked, again = _count_by_day(connection)
    # Results deleted before are lost already.
    first_kept = f"{now - KEPT_FOR:%Y-%m-%d}"
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
        # The API may keep a result for longer than a month.
        first_lost_at=max(now, _lost_at(days[0])) if days else None,
        interval=interval,
    )


def _rounded(span: dt.timedelta) -> dt.timedelta:
    """Round to whole days, hours, minutes or seconds: the largest unit that fits at least twice."""
    units = (dt.timedelta(days=1), dt.timedelta(hours=1), dt.timedelta(minutes=1))
    unit = next((unit for unit in units if span >= 2 * unit), dt.timedelta(seconds=1))
    return max(round(span / unit), 1) * unit


def _lost_at(day: str) -> dt.datetime:
    return dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC) + KEPT_AT_LEAST


def _count_by_day(connection: sa.Connection) -> list[Counter[str | None]]:
    """Count results never requested and those requested again, by the UTC day of completion, if known."""
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
