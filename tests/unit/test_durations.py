"""Parsing and formatting of durations."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.durations import duration_as_option, format_duration, parse_duration

MICROSECOND = dt.timedelta(microseconds=1)


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("90s", 90),
        ("5m", 300),
        ("1h", 3600),
        ("2d", 172_800),
        ("0.5s", 0.5),
        ("1.5h", 5400),
        (" 5 m ", 300),
        ("36500d", 3_153_600_000),
    ],
)
def test_valid_durations_are_parsed(text, seconds):
    assert parse_duration(text).total_seconds() == seconds


@pytest.mark.parametrize(
    "text",
    ["", "5", "m", "5 minutes", "-5m", "+5m", "0s", "0.0000001s", "1e3s", "5M", "5m5s", ".5s", "5.s", "infs"],
)
def test_invalid_durations_are_rejected(text):
    with pytest.raises(ValueError, match=r"is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["36501d", "99999999999h", "9" * 400 + "d"])
def test_durations_over_100_years_are_rejected(text):
    with pytest.raises(ValueError, match="hundred years"):
        parse_duration(text)


@given(st.timedeltas(min_value=MICROSECOND, max_value=dt.timedelta(days=36_500)))
def test_duration_as_option_round_trips(span):
    assert parse_duration(duration_as_option(span)) == span


@pytest.mark.parametrize(
    "seconds, text",
    [(60, "1m"), (90, "90s"), (3600, "1h"), (86_400, "1d"), (0.25, "0.25s"), (1_234_567, "1234567s")],
)
def test_duration_as_option_uses_largest_exact_unit(seconds, text):
    assert duration_as_option(dt.timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0, "0 s"),
        (0.004, "4 ms"),
        (0.0999, "0.1 s"),
        (0.564338, "0.6 s"),
        (2, "2 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (90, "1 min 30 s"),
        (240, "4 min"),
        (599.6, "10 min"),
        (1234.5, "21 min"),
        (3599, "1 h"),
        (7500, "2 h 5 min"),
        (86_399, "1 d"),
        (93_600, "1 d 2 h"),
        (86_400 * 1234, "1,234 d"),
    ],
)
def test_durations_are_formatted_with_at_most_two_units(seconds, text):
    assert format_duration(seconds) == text
    assert format_duration(dt.timedelta(seconds=seconds)) == text
