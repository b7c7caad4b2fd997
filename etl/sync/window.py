"""The window that a run reads. Pure functions."""

from __future__ import annotations

import dataclasses
import datetime as dt

from etl.enums import DateFilter
from etl.extract.date_filter import LONG_AGO, date_text, noon_of

_A_DAY = dt.timedelta(days=1)
# Half a day, plus the 14 hours by which the server's time zone may be ahead.
_DAY_BEFORE_NOON = dt.timedelta(hours=26)
# For more days than this, the whole list is read instead.
MAX_DAYS = 100


@dataclasses.dataclass(frozen=True, slots=True)
class ListQuery:
    """One list to read: its parameters, and the time after which all its tasks were created, if known."""

    filters: dict[str, str]
    created_after: dt.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """
    The tasks that a run reads: those created at or after `start`, or all of them if it is None.

    `queries` are the lists that together contain them. If no filter finds them, it is empty: the newest tasks
    are then read from the head of the default order, and tasks that have not started from the lists of their
    statuses.
    """

    start: dt.datetime | None
    queries: tuple[ListQuery, ...]

    @property
    def is_everything(self) -> bool:
        """Whether it includes all tasks, so that any task not in it was removed."""
        return self.start is None


EVERYTHING = Window(start=None, queries=(ListQuery({}),))


def plan_window(
    watermark: dt.datetime | None, *, lookback: dt.timedelta, now: dt.datetime, semantics: str
) -> Window:
    """
    Return the window that an incremental run reads.

    It starts `lookback` before the watermark, because a task may not be listed until some time after it was
    created; reading rows twice costs a request and nothing else. A watermark ahead of `now` would leave a
    gap, so the earlier of the two is used.
    """
    if watermark is None or semantics == DateFilter.UNKNOWN:
        return EVERYTHING
    return window_since(min(watermark, now) - lookback, now=max(watermark, now), semantics=semantics)


def window_since(start: dt.datetime, *, now: dt.datetime, semantics: str) -> Window:
    """Return the window of tasks created at or after `start`, with the lists for these semantics."""
    start = max(start.astimezone(dt.UTC), LONG_AGO).replace(microsecond=0)
    if semantics == DateFilter.UNKNOWN:
        return EVERYTHING
    if semantics == DateFilter.GTE:
        return Window(start=start, queries=(ListQuery({"date_created": date_text(start)}, start),))
    if semantics == DateFilter.DAY:
        days = _days(start, now)
        queries = (ListQuery({"date_created": date_text(noon)}, noon - _DAY_BEFORE_NOON) for noon in days)
        return Window(start=start, queries=tuple(queries)) if len(days) <= MAX_DAYS else EVERYTHING
    return Window(start=start, queries=())


def _days(start: dt.datetime, now: dt.datetime) -> list[dt.datetime]:
    """Return the noon of each day, and of a day before and after: time zones differ by up to a day."""
    first, last = noon_of(start) - _A_DAY, noon_of(now) + _A_DAY
    return [first + number * _A_DAY for number in range((last - first).days + 1)]
