"""The figures of a report, read from the views in one transaction and aggregated with pandas."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any

import pandas as pd

from etl import frames
from etl.frames.chunks import connected
from etl.frames.times import parse_range
from etl.load.due_results import MIN_RETENTION
from etl.models import ResultState, TaskType

if TYPE_CHECKING:
    from etl.frames.chunks import Source
    from etl.frames.signature import FrameOptions
    from etl.frames.times import Instant

DAY = dt.timedelta(days=1)
DEFAULT_DAYS = 30
CENTURY = 36_525 * DAY
# Results that expire within this many days count as expiring soon.
SOON_DAYS = 7
_KIND_LENGTH = 80
_COUNTS = ["finished", "succeeded", "failed", "revoked"]
_MINUTES = ["processed_minutes", "succeeded_minutes"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Percentiles of a duration in seconds, over the `n` tasks whose duration is known; NaN if `n` is 0."""

    n: int
    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: pd.Series[float]) -> Spread:
        """Return the percentiles, interpolated linearly as in the views."""
        known = seconds.dropna()
        p50, p95, p99 = (float(value) for value in known.quantile([0.50, 0.95, 0.99]))
        return cls(n=len(known), p50=p50, p95=p95, p99=p99)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """
    The figures of a report for the UTC days from `since` until before `until`, read at `read_at`.

    `finished` counts tasks that ended in these days, and `created` those that were created in them; `waits`
    and `runs` are of the created ones. Tasks in flight, stalled tasks and expiring results are those at
    `read_at`. The frames have one row for each

    - `daily`: day of the range, with numbers of tasks (created, finished, by terminal status) and minutes
    - `types`: task type and category, with the same numbers and percentiles of wait and processing time
      in seconds
    - `errors`: kind of error; `hosts`: host of the URL
    - `languages`: requested language of transcriptions, null for automatic detection
    - `findings`: kind of content moderation, with the numbers of archived results and of those with
      detections
    - `failures`, `stalls`, `expiring`: task, the most urgent first
    """

    since: dt.date
    until: dt.date
    read_at: dt.datetime
    freshness: dict[str, Any]
    created: int
    finished: int
    succeeded: int
    failed: int
    revoked: int
    processed_minutes: float
    succeeded_minutes: float
    waits: Spread
    runs: Spread
    in_flight: int
    stalled: int
    expiring_soon: int
    daily: pd.DataFrame
    types: pd.DataFrame
    errors: pd.DataFrame
    hosts: pd.DataFrame
    languages: pd.DataFrame
    findings: pd.DataFrame
    failures: pd.DataFrame
    stalls: pd.DataFrame
    expiring: pd.DataFrame

    @property
    def is_last_day_partial(self) -> bool:
        """Whether the figures were read before the end of the last day."""
        return self.until - DAY == self.read_at.date()

    @property
    def success_rate(self) -> float:
        """Succeeded tasks divided by succeeded and failed tasks; NaN if there are none."""
        ended = self.succeeded + self.failed
        return self.succeeded / ended if ended else float("nan")


def collect(source: Source = None, *, since: Instant = None, until: Instant = None) -> Figures:
    """Return the figures, read in one snapshot. Arguments and errors are those of `etl.report.report`."""
    read_at = dt.datetime.now(dt.UTC)
    first, stop = _days(since, until, read_at)
    days: FrameOptions = {"since": first, "until": stop}
    with connected(source) as connection:
        outcomes = frames.view("outcomes", connection, **days)
        minutes = frames.view("minutes_daily", connection, **days)
        columns = ["task_name", "category", "created_at", "wait_seconds", "duration_seconds"]
        timeline = frames.view("task_timeline", connection, since=first, until=stop, columns=columns)
        failures = frames.view("failures", connection, **days)
        columns = ["kind", "state", "detected"]
        results = frames.results(connection, since=first, until=stop, columns=columns)
        freshness = frames.view("freshness", connection)
        in_flight = frames.view("in_flight", connection, columns=["task_id"])
        stalls = frames.view("stalls", connection)
        # Results that expired long ago are not read; a day allows for a difference to the database's clock.
        expiring = frames.view("results_expiring", connection, since=read_at - MIN_RETENTION - DAY)
    for frame in (outcomes, minutes, timeline):
        frame["type"] = _type_of(frame)
    timeline["day"] = timeline["created_at"].dt.floor("D")
    every_day = pd.date_range(first, stop, inclusive="left", tz="UTC", unit="us", name="day")
    expiring = expiring[expiring["days_left"] >= 0].sort_values("days_left")
    return Figures(
        since=first,
        until=stop,
        read_at=read_at,
        freshness={str(name): value for name, value in freshness.iloc[0].items()},
        created=len(timeline),
        finished=int(outcomes["finished"].sum()),
        succeeded=int(outcomes["succeeded"].sum()),
        failed=int(outcomes["failed"].sum()),
        revoked=int(outcomes["revoked"].sum()),
        processed_minutes=float(minutes["processed_minutes"].sum()),
        succeeded_minutes=float(minutes["succeeded_minutes"].sum()),
        waits=Spread.of(timeline["wait_seconds"]),
        runs=Spread.of(timeline["duration_seconds"]),
        in_flight=len(in_flight),
        stalled=len(stalls),
        expiring_soon=int(expiring["days_left"].between(0, SOON_DAYS).sum()),
        daily=_totals(outcomes, minutes, timeline, "day").reindex(every_day, fill_value=0),
        types=_by_type(outcomes, minutes, timeline),
        errors=_by_kind_of_error(failures),
        hosts=_by(outcomes, "host"),
        languages=_by(outcomes[outcomes["task_name"] == TaskType.TRANSCRIPTION], "audio_language"),
        findings=_findings(results),
        failures=failures.sort_values("failed_at", ascending=False),
        stalls=stalls.sort_values("unchanged_seconds", ascending=False),
        expiring=expiring,
    )


def _days(since: Instant, until: Instant, now: dt.datetime) -> tuple[dt.date, dt.date]:
    """
    Return the first day of a range, and the day after the last.

    Raises ValueError for an empty range, one in the future, and one more than a hundred years away.
    """
    start, end = parse_range(since, until)
    for given, moment in ((f"since={since}", start), (f"until={until}", end)):
        if moment is not None and abs(moment - now) > CENTURY:
            raise ValueError(f"{given} is more than a hundred years from now: choose another day")
    if end is None and start is not None and start >= now:
        raise ValueError(f"since={since} is in the future: choose an earlier day")
    end = end or now
    # A range that ends at midnight does not include the day that begins then.
    stop = (end - dt.timedelta(microseconds=1)).date() + DAY
    if start is None:
        return stop - DEFAULT_DAYS * DAY, stop
    if start >= end:
        raise ValueError(f"until={until} is not later than since={since}: it is the day after the last one")
    return start.date(), stop


def _type_of(frame: pd.DataFrame) -> pd.Series[str]:
    name = frame["task_name"].astype("string").fillna("unknown")
    category = frame["category"].astype("string")
    return name.where(category.isna(), name + ", " + category)


def _totals(
    outcomes: pd.DataFrame, minutes: pd.DataFrame, timeline: pd.DataFrame, column: str
) -> pd.DataFrame:
    """Return the numbers of tasks and the minutes by one column, 0 where there are none."""
    return pd.concat(
        [
            timeline.groupby(column).size().rename("created"),
            outcomes.groupby(column)[_COUNTS].sum(),
            minutes.groupby(column)[_MINUTES].sum(),
        ],
        axis="columns",
        sort=False,
    ).fillna(0)


def _by_type(outcomes: pd.DataFrame, minutes: pd.DataFrame, timeline: pd.DataFrame) -> pd.DataFrame:
    spreads = {
        f"{span}_{name}": timeline.groupby("type")[f"{column}_seconds"].quantile(share)
        for span, column in (("wait", "wait"), ("run", "duration"))
        for name, share in (("p50", 0.50), ("p95", 0.95), ("p99", 0.99))
    }
    totals = _totals(outcomes, minutes, timeline, "type").join(pd.DataFrame(spreads))
    return _with_rate(totals.rename_axis("type").sort_index().reset_index())


def _findings(results: pd.DataFrame) -> pd.DataFrame:
    is_moderation = (results["state"] == ResultState.ARCHIVED) & results["detected"].notna()
    grouped = results[is_moderation].groupby("kind", observed=True)
    found: pd.DataFrame = grouped.agg(results=("detected", "size"), detected=("detected", "sum"))
    return found.sort_values("results", ascending=False).reset_index()


def _by(outcomes: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the counts by one column, the largest first, with a row for null."""
    grouped = outcomes.groupby(column, observed=True, dropna=False)[_COUNTS].sum().reset_index()
    grouped[column] = grouped[column].astype("string")
    return _with_rate(grouped.sort_values(["finished", column], ascending=[False, True], ignore_index=True))


def _with_rate(counted: pd.DataFrame) -> pd.DataFrame:
    ended = (counted["succeeded"] + counted["failed"]).astype("float64")
    return counted.assign(success_rate=counted["succeeded"].astype("float64") / ended.where(ended > 0))


def _by_kind_of_error(failures: pd.DataFrame) -> pd.DataFrame:
    """Return failures grouped as in the view `failure_kinds`, which cannot be limited to a range."""
    error = failures["error"].where(failures["error"] != "")
    kind = error.str.split(":").str[0].str[:_KIND_LENGTH].str.strip(" ")
    grouped = failures.assign(error_kind=kind).groupby("error_kind", dropna=False)
    found: pd.DataFrame = grouped.agg(tasks=("task_id", "size"), last_at=("failed_at", "max")).reset_index()
    return found.sort_values(["tasks", "error_kind"], ascending=[False, True], ignore_index=True)
