"""The watermark: it never decreases, and the clock of an earlier run cannot move it past unread tasks."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from etl.sync.clock import TOLERATED_DRIFT
from etl.sync.state import SyncState
from etl.sync.watermark import covered_until, next_watermark

DAY = dt.timedelta(days=1)
instants = st.datetimes(dt.datetime(2020, 1, 1), dt.datetime(2040, 1, 1), timezones=st.just(dt.UTC))  # noqa: DTZ001
passed = st.timedeltas(dt.timedelta(0), dt.timedelta(days=400))


def covered(watermark, set_at, served_at, now):
    clock = SimpleNamespace(first_served_at=served_at, started_at=now)
    state = SyncState(watermark=watermark, watermark_set_at=set_at)
    return covered_until(state, clock, lookback=TOLERATED_DRIFT, now=now)


@given(instants, passed, st.timedeltas(-400 * DAY, 400 * DAY), st.timedeltas(-400 * DAY, 400 * DAY))
def test_wrong_clock_of_last_run_skips_no_tasks(start, between, skew, last_error):
    """The `Date` of the last run, at `start`, was off by `last_error`; the one of this run is correct."""
    watermark, set_at = start + last_error, start - skew
    served_at, now = start + between, start + between - skew
    reached = covered(watermark, set_at, served_at, now)
    assert reached <= start + TOLERATED_DRIFT
    if last_error <= dt.timedelta(0):
        assert reached == watermark
    following = next_watermark(reached, served_at=served_at, now=now, newest=None)
    assert following == served_at


@given(instants, passed, st.timedeltas(dt.timedelta(0), 400 * DAY))
def test_local_clock_jumping_back_skips_no_tasks(start, between, jump):
    now = start + between - jump
    reached = covered(start, start, start + between, now)
    assert reached == start


@given(instants, instants, instants)
def test_covered_until_never_exceeds_server_time(watermark, served_at, now):
    for set_at in (None, now, watermark):
        reached = covered(watermark, set_at, served_at, now)
        assert reached <= served_at


@given(st.none() | instants, st.none() | instants, instants, st.none() | instants)
def test_watermark_never_decreases(watermark, served_at, now, newest):
    following = next_watermark(watermark, served_at=served_at, now=now, newest=newest)
    assert watermark is None or following >= watermark


@given(instants, st.none() | instants)
def test_watermark_lags_one_day_without_server_time(now, newest):
    reached = next_watermark(None, served_at=None, now=now, newest=newest)
    assert reached == min(now - dt.timedelta(days=1), newest or now)
