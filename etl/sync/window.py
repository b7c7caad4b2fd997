"""What the next run asks for. Pure: everything it depends on is a parameter."""

from __future__ import annotations

import dataclasses
import datetime as dt

from etl.extract.date_filter import LONG_AGO, date_text, noon_of

# Without the server's clock this machine's stands in for it; it may be wrong by as much.
CLOCK_DOUBT = dt.timedelta(days=1)
_A_DAY = dt.timedelta(days=1)
# Half a day, and the fourteen hours by which the server's zone may be ahead.
_DAY_BEFORE_NOON = dt.timedelta(hours=26)
# Beyond it, reading everything costs no more.
MAX_DAYS = 100


@dataclasses.dataclass(frozen=True, slots=True)
class ListQuery:
    """One list to read: its parameters, and the time after which whatever is on it was created, if known."""

    filters: dict[str, str]
    created_after: dt.datetime | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """
    What a run reads: the tasks created from `start` on, or, without one, all of them.

    `parts` are the lists that together yield them. Without any, no filter does: then the newest are read from
    the head of the default order, and what waits from the lists of unfinished tasks.
    """

    start: dt.datetime | None
    queries: tuple[ListQuery, ...]

    @property
    def is_everything(self) -> bool:
        """Whether reading it proves what is not there."""
        return self.start is None


EVERYTHING = Window(start=None, queries=(ListQuery({}),))


def plan_window(
    watermark: dt.datetime | None, *, lookback: dt.timedelta, now: dt.datetime | None, semantics: str
) -> Window:
    """
    Choose what an incremental run reads.

    It begins `lookback` before the watermark, or before what that really covers, because a task may be listed
    a while after it was created; rows read twice cost a request and nothing else. A watermark ahead of `now`,
    the server's time if it is known, would leave a gap, so the earlier of the two counts.
    """
    if watermark is None or semantics == "unknown":
        return EVERYTHING
    start = min(watermark, now or watermark) - lookback
    return window_since(start, now=max(watermark, now or watermark), semantics=semantics)


def window_since(start: dt.datetime, *, now: dt.datetime, semantics: str) -> Window:
    """Ask for what was created at or after `start`, in the way that the verdict allows."""
    start = max(start.astimezone(dt.UTC), LONG_AGO).replace(microsecond=0)
    if semantics == "unknown":
        return EVERYTHING
    if semantics == "gte":
        return Window(start=start, queries=(ListQuery({"date_created": date_text(start)}, start),))
    if semantics == "day":
        days = _days(start, now)
        queries = (ListQuery({"date_created": date_text(noon)}, noon - _DAY_BEFORE_NOON) for noon in days)
        return Window(start=start, queries=tuple(queries)) if len(days) <= MAX_DAYS else EVERYTHING
    return Window(start=start, queries=())


def _days(start: dt.datetime, now: dt.datetime) -> list[dt.datetime]:
    """Give the noon of each day from one before the first to one after the last: zones differ by a day."""
    first, last = noon_of(start) - _A_DAY, noon_of(now) + _A_DAY
    return [first + number * _A_DAY for number in range((last - first).days + 1)]


def covered_until(
    watermark: dt.datetime,
    set_at: dt.datetime | None,
    *,
    served_at: dt.datetime | None,
    now: dt.datetime,
    tolerance: dt.timedelta,
) -> dt.datetime:
    """
    Return the time, by the server's present clock, before which everything is stored.

    That is the watermark, unless the clock it was read from was ahead: then it lies ahead of the server's
    time `served_at`, or less time has passed there since than on this machine between `set_at` and `now`. Two
    clocks that differ by no more than `tolerance` agree. Without the server's time, this machine's counts.
    """
    if served_at is None:
        return min(watermark, set_at or now, now)
    covered = min(watermark, served_at)
    if set_at is not None and served_at - (now - set_at) < covered - tolerance:
        covered = served_at - (now - set_at)
    return covered


def next_watermark(
    covered: dt.datetime | None,
    *,
    served_at: dt.datetime | None,
    now: dt.datetime,
    newest: dt.datetime | None,
) -> dt.datetime:
    """
    Choose the watermark that a complete run leaves behind.

    `served_at` is the server's clock when it gave the run's first answer, `now` this machine's, `newest` the
    last time that any task had by then: without the server's clock, the watermark lies behind both. Never
    earlier than what was `covered` before.
    """
    doubted = now - CLOCK_DOUBT
    reached = served_at if served_at is not None else min(doubted, newest or doubted)
    return reached if covered is None else max(covered, reached)
