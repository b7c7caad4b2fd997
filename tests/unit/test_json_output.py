"""JSON output: one representation for each type, above all for timestamps."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.json_output import format_time, to_json

CET = dt.timezone(dt.timedelta(hours=1))


class Colour(enum.StrEnum):
    RED = "red"


@dataclasses.dataclass(slots=True)
class Point:
    x: int
    at: dt.datetime | None


@pytest.mark.parametrize(
    "moment, written",
    [
        (dt.datetime(2026, 11, 19, 15, 6, 41, 186000, tzinfo=dt.UTC), "2026-11-19T15:06:41.186000Z"),
        (dt.datetime(2026, 11, 22, 5, 33, 50, tzinfo=dt.UTC), "2026-11-22T05:33:50.000000Z"),
        (dt.datetime(2026, 1, 1, 0, 30, tzinfo=CET), "2025-12-31T23:30:00.000000Z"),
        (dt.datetime(2026, 1, 1), "2026-01-01T00:00:00.000000Z"),  # noqa: DTZ001
        (dt.datetime(1, 1, 1, tzinfo=dt.UTC), "0001-01-01T00:00:00.000000Z"),
    ],
)
def test_timestamps_are_utc_with_microseconds(moment, written):
    assert format_time(moment) == json.loads(to_json(moment)) == written


@given(st.lists(st.datetimes(timezones=st.just(dt.UTC)), min_size=2))
def test_timestamps_sort_as_text(moments):
    assert sorted(map(format_time, moments)) == list(map(format_time, sorted(moments)))
    assert [dt.datetime.fromisoformat(format_time(each)) for each in moments] == moments


@pytest.mark.parametrize(
    "value, expected",
    [
        (decimal.Decimal(12), 12),
        (decimal.Decimal("1E+3"), 1000),
        (decimal.Decimal("12.5"), 12.5),
        (decimal.Decimal("NaN"), None),
        (decimal.Decimal("-Infinity"), None),
        (math.nan, None),
        (math.inf, None),
        (2**70, 2**70),
        (True, True),
        (dt.date(2026, 6, 1), "2026-06-01"),
        (dt.timedelta(minutes=1.5), 90.0),
        (b"a\xffb", "a\\xffb"),
        (memoryview(b"ab"), "ab"),
        (Colour.RED, "red"),
        ((1, [None, "x"]), [1, [None, "x"]]),
        ({1: 2, None: 3, Colour.RED: 4}, {"1": 2, "null": 3, "red": 4}),
        ({dt.date(2026, 6, 1): math.nan}, {"2026-06-01": None}),
        ("ä\x00\udcff\n", "ä\x00\udcff\n"),
        (Point(1, None), {"x": 1, "at": None}),
        ([Point(1, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))], [{"x": 1, "at": "2026-01-01T00:00:00.000000Z"}]),
    ],
)
def test_each_type_is_converted_to_a_json_type(value, expected):
    def refuse(constant: str) -> Any:
        raise AssertionError(constant)

    written = to_json(value)
    assert json.loads(written, parse_constant=refuse) == expected
    assert "\n" not in written


def test_unknown_type_raises_type_error():
    with pytest.raises(TypeError, match="object has no JSON representation"):
        to_json({"a": [object()]})
