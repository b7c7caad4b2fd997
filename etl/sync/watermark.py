"""Where the previous run ended, by the server's clock, and where the next one starts."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from etl.extract.date_filter import shows_since
from etl.load.task_rows import CLOCK_RESOLUTION
from etl.sync.clock import TOLERATED_DRIFT
from etl.sync.window import covered_until, next_watermark

if TYPE_CHECKING:
    import datetime as dt

    from etl.extract.page_source import PageSource
    from etl.sync.clock import SourceClock
    from etl.sync.date_filter_semantics import DateFilterSemantics
    from etl.sync.state import SyncState
    from etl.sync.window import Window


def read_until(
    state: SyncState, clock: SourceClock, *, lookback: dt.timedelta, now: dt.datetime
) -> dt.datetime | None:
    """Return the time before which everything is stored, by the clock of the run's first response."""
    if state.watermark is None:
        return None
    return covered_until(
        state.watermark,
        state.watermark_set_at,
        served_at=clock.first_served_at,
        now=clock.started_at or now,
        tolerance=min(TOLERATED_DRIFT, lookback),
    )


def advance(  # noqa: PLR0913
    state: SyncState,
    clock: SourceClock,
    window: Window,
    *,
    covered: dt.datetime | None,
    is_complete: bool,
    now: dt.datetime,
) -> SyncState:
    """
    Return the state with the watermark moved to the run's start, if everything before it is stored now.

    That is the case after a complete read, or if the window starts no later than the end of the last run.
    """
    is_joined = covered is not None and window.start is not None and window.start <= covered
    if not (is_complete or is_joined):
        return state
    served_at = clock.first_served_at
    # Only the server's clock can show that the last watermark was ahead of it.
    before = covered if served_at is not None else state.watermark
    watermark = next_watermark(before, served_at=served_at, now=now, newest=clock.newest)
    # The watermark by this machine's clock; the watermark itself if it came from that clock.
    is_served = watermark == served_at
    unchanged = state.watermark_set_at if watermark == before else watermark
    return dataclasses.replace(
        state, watermark=watermark, watermark_set_at=clock.started_at if is_served else unchanged
    )


def check_clock(
    source: PageSource,
    clock: SourceClock,
    semantics: DateFilterSemantics,
    *,
    may_change: bool,
    now: dt.datetime,
) -> None:
    """
    Distrust the clock if the filter is unknown; check a filter that returns tasks created after its time.

    Such a filter may return too many tasks, or the clock is behind. It is checked if it `may_change`.
    """
    if semantics.value in {None, "unknown"}:
        clock.distrust()
    elif semantics.value == "gte":
        served_at = clock.first_served_at
        if may_change and (served_at is None or shows_since(source, served_at + CLOCK_RESOLUTION)):
            semantics.suspect(served_at or now)
