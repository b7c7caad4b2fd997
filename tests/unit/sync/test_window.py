"""Windows: no gaps."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.sync.window import EVERYTHING, plan_window

# Hypothesis requires naive bounds and makes them aware itself.
FIRST, LAST = (dt.datetime(year, 1, 1, tzinfo=dt.UTC).replace(tzinfo=None) for year in (2020, 2040))
instants = st.datetimes(FIRST, LAST, timezones=st.just(dt.UTC))
spans = st.timedeltas(dt.timedelta(seconds=1), dt.timedelta(days=30))
HOUR = dt.timedelta(hours=1)
JUNE = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)


def test_without_a_watermark_everything_is_read():
    assert plan_window(None, lookback=HOUR, now=JUNE, semantics="gte") is EVERYTHING


def test_without_known_semantics_everything_is_read():
    assert plan_window(JUNE, lookback=HOUR, now=JUNE, semantics="unknown") is EVERYTHING


@pytest.mark.parametrize("semantics", ["lte", "exact", "ignored", "rejected"])
def test_unusable_date_filter_is_not_sent(semantics):
    window = plan_window(JUNE, lookback=HOUR, now=JUNE, semantics=semantics)
    assert (window.queries, window.start) == ((), JUNE - HOUR)


@given(instants, spans, instants)
def test_window_starts_lookback_before_watermark_or_server_time(watermark, lookback, now):
    window = plan_window(watermark, lookback=lookback, now=now, semantics="gte")
    latest = min(watermark, now) - lookback
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
