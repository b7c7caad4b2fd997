"""
Forecast of the results that will expire before a sync archives them.

Results are fetched in the order in which they expire, up to `max_results` per run. So whether one is archived
in time depends on how many expire before it, counted per day.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import statistics
from collections import Counter

import sqlalchemy as sa

from etl.durations import format_duration
from etl.load.dialect import utc_day
from etl.load.due_results import MAX_RETENTION, MIN_RETENTION, REQUESTED_AGAIN
from etl.models import RESULT_DUE, RESULTS, RUNS, TASKS

# Assumed until a second run shows the real interval.
USUAL_INTERVAL = dt.timedelta(days=1)
_RECENT_RUNS = 10
# At shorter intervals, syncing more often is not useful advice.
_SHORTEST_USEFUL_INTERVAL = dt.timedelta(minutes=2)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """
    How many results are pending, and how many of them may be lost.

    `waiting` counts the pending results, which later syncs will request, and `unrequested` those of them that
    no sync has requested since their task finished. `at_risk` counts the unrequested results that may expire
    before they are fetched, if a sync runs every `interval`.

    `first_expires_at` is when the first pending result may expire, and `first_at_risk_expires_at` when the
    first result at risk may. Neither is in the past; None if there is no such result.
    """

    waiting: int
    unrequested: int
    at_risk: int
    first_expires_at: dt.datetime | None
    first_at_risk_expires_at: dt.datetime | None
    interval: dt.timedelta

    @property
    def every(self) -> str:
        """Return the interval for people, rounded to its largest unit."""
        return format_duration(_rounded(self.interval))

    def warning(self, per_run: int) -> str:
        """Return a warning about the results at risk, with what to do."""
        fetch_more = f"raise --max-results (now {per_run:,})"
        sync_more = f"sync more often than every {self.every}, or {fetch_more}"
        return (
            f"{self.at_risk:,} of {self.waiting:,} pending results may expire before a sync "
            f"archives them, the first on {self.first_at_risk_expires_at:%Y-%m-%d}: "
            f"{sync_more if self.interval > _SHORTEST_USEFUL_INTERVAL else fetch_more}"
        )


def read_forecast(
    connection: sa.Connection, now: dt.datetime, *, per_run: int, interval: dt.timedelta | None = None
) -> Forecast:
    """
    Return the forecast for syncs that archive `per_run` results each, inside the caller's transaction.

    Without an `interval`, it is the median interval of recent runs.
    """
    interval = interval or _recent_interval(connection)
    unrequested, again = _count_by_day(connection)
    # Earlier results have expired.
    first_kept = f"{now - MAX_RETENTION:%Y-%m-%d}"
    days = sorted(day for day in {*unrequested, *again} if day is not None and day >= first_kept)
    fetched, at_risk = 0, Counter[str]()
    for day in days:
        turns = (_expires_at(day, now) - now) // interval * per_run
        in_time = min(unrequested[day], max(0, turns - fetched))
        fetched += in_time
        at_risk[day] = unrequested[day] - in_time
    days_at_risk = [day for day in days if at_risk[day]]
    return Forecast(
        waiting=unrequested.total() + again.total(),
        unrequested=unrequested.total(),
        at_risk=at_risk.total(),
        first_expires_at=_expires_at(days[0], now) if days else None,
        first_at_risk_expires_at=_expires_at(days_at_risk[0], now) if days_at_risk else None,
        interval=interval,
    )


def _rounded(span: dt.timedelta) -> dt.timedelta:
    """Round to whole days, hours, minutes or seconds, whichever is the largest unit that fits twice."""
    units = (dt.timedelta(days=1), dt.timedelta(hours=1), dt.timedelta(minutes=1))
    unit = next((unit for unit in units if span >= 2 * unit), dt.timedelta(seconds=1))
    return max(round(span / unit), 1) * unit


def _expires_at(day: str, now: dt.datetime) -> dt.datetime:
    """Return when the results of a day may expire; `now` if they may have expired already."""
    return max(now, dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC) + MIN_RETENTION)


def _count_by_day(connection: sa.Connection) -> list[Counter[str | None]]:
    """Count the unrequested results, and those to request again, per UTC day of completion if known."""
    day = utc_day(connection, TASKS.c.completed_at)
    unrequested = sa.select(day, sa.func.count()).select_from(TASKS).where(RESULT_DUE).group_by(day)
    again = sa.select(day, sa.func.count()).join_from(RESULTS, TASKS, RESULTS.c.task_id == TASKS.c.task_id)
    again = again.where(REQUESTED_AGAIN).group_by(day)
    return [Counter({row[0]: row[1] for row in connection.execute(query)}) for query in (unrequested, again)]


def _recent_interval(connection: sa.Connection) -> dt.timedelta:
    last = sa.select(sa.func.max(RUNS.c.run_id)).scalar_subquery()
    recent = RUNS.c.run_id > last - _RECENT_RUNS
    query = sa.select(RUNS.c.started_at).where(recent).order_by(RUNS.c.run_id.desc())
    starts = list(connection.scalars(query))
    gaps = [later - earlier for later, earlier in itertools.pairwise(starts) if later > earlier]
    return statistics.median(gaps) if gaps else USUAL_INTERVAL
