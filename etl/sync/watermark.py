"""Where the previous run ended, by the server's clock, and where the next one starts."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING

from etl.sync.clock import TOLERATED_DRIFT

if TYPE_CHECKING:
    from etl.sync.clock import SourceClock
    from etl.sync.state import SyncState
    from etl.sync.window import Window

# Without the server's clock, this machine's clock is used, which may be wrong by up to this much.
CLOCK_UNCERTAINTY = dt.timedelta(days=1)


def covered_until(
    state: SyncState, clock: SourceClock, *, lookback: dt.timedelta, now: dt.datetime
) -> dt.datetime | None:
    """
    Return the time, by the clock of the run's first response, before which everything is stored.

    That is the watermark, unless it came from a clock that was ahead. In that case it is later than the
    server's time, or less time has passed on the server since then than on this machine. Differences up to
    the smaller of `lookback` and one minute are ignored. Without the server's time, this machine's is used.
    """
    watermark, set_at, served_at = state.watermark, state.watermark_set_at, clock.first_served_at
    if watermark is None:
        return None
    now = clock.started_at or now
    if served_at is None:
        return min(watermark, set_at or now, now)
    covered = min(watermark, served_at)
    if set_at is not None and served_at - (now - set_at) < covered - min(TOLERATED_DRIFT, lookback):
        covered = served_at - (now - set_at)
    return covered


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

    That is the case after a complete scan, or if the window starts no later than the end of the last run.
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


def next_watermark(
    covered: dt.datetime | None,
    *,
    served_at: dt.datetime | None,
    now: dt.datetime,
    newest: dt.datetime | None,
) -> dt.datetime:
    """
    Return the watermark after a complete run.

    `served_at` is the server's time at the run's first response, `now` is this machine's time, and `newest`
    is the latest time of any task known then. Without the server's clock, the watermark is the earlier of
    `newest` and a day before `now`. It is never earlier than `covered`, the time covered before the run.
    """
    earliest = now - CLOCK_UNCERTAINTY
    reached = served_at if served_at is not None else min(earliest, newest or earliest)
    return reached if covered is None else max(covered, reached)
