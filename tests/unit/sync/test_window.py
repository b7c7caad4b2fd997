"""Windows and watermarks: no gaps, and a watermark that never decreases."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.sync.window import EVERYTHING, next_watermark, plan_window

# Hypothesis requires naive bounds and makes them aware itself.
FIRST, LAST = (dt.datetime(year, 1, 1, tzinfo=dt.UTC).replace(tzinfo=None) for year in (2020, 2040))
instants = st.datetimes(FIRST, LAST, timezones=st.just(dt.UTC))
spans = st.timedeltas(dt.timedelta(seconds=1), dt.timedelta(days=30))
HOUR = dt.timedelta(hours=1)


def test_without_a_watermark_everything_is_read():
    assert plan_window(None, lookback=HOUR, now=None, semantics="gte") is EVERYTHING


def test_without_known_semantics_everything_is_read():
    watermark = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
    assert plan_window(watermark, lookback=HOUR, now=None, semantics="unknown") is EVERYTHING


@pytest.mark.parametrize("semantics", ["lte", "exact", "ignored", "rejected"])
def test_unusable_date_filter_is_not_sent(semantics):
    watermark = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
    window = plan_window(watermark, lookback=HOUR, now=None, semantics=semantics)
    assert (window.queries, window.start) == ((), watermark - HOUR)


@given(instants, spans, st.none() | instants)
def test_window_starts_lookback_before_watermark_or_server_time(watermark, lookback, now):
    window = plan_window(watermark, lookback=lookback, now=now, semantics="gte")
    latest = min(watermark, now or watermark) - lookback
    assert dt.timedelta(0) <= latest - window.start < dt.timedelta(seconds=1)
    (part,) = window.queries
    assert dt.datetime.fromisoformat(part.filters["date_created"]) == window.start


@given(
    instants, spans, st.timedeltas(dt.timedelta(0), dt.timedelta(days=40)), st.integers(-14, 14), st.data()
)
def test_day_queries_cover_the_window_in_any_time_zone(watermark, lookback, passed, offset, data):
    now = watermark + passed
    window = plan_window(watermark, lookback=lookback, now=now, semantics="day")
    zone = dt.timezone(dt.timedelta(hours=offset))
    asked = [
        dt.datetime.fromisoformat(part.filters["date_created"]).astimezone(zone).date()
        for part in window.queries
    ]
    assert len(set(asked)) == len(asked)
    seconds = data.draw(st.floats(0, (now - window.start).total_seconds()))
    assert (window.start + dt.timedelta(seconds=seconds)).astimezone(zone).date() in asked


@given(st.none() | instants, st.none() | instants, instants, st.none() | instants)
def test_watermark_never_decreases(watermark, served_at, now, newest):
    following = next_watermark(watermark, served_at=served_at, now=now, newest=newest)
    assert watermark is None or following >= watermark


@given(instants, st.none() | instants)
def test_watermark_lags_one_day_without_server_time(now, newest):
    reached = next_watermark(None, served_at=None, now=now, newest=newest)
    assert reached == min(now - dt.timedelta(days=1), newest or now)
