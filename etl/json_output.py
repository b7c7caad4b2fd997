"""JSON output for programs, with one representation for each type, above all for timestamps."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import math
from collections.abc import Mapping
from typing import Any


def to_json(value: object) -> str:
    """Return `value`, which may be a dataclass, as one line of JSON. Raises TypeError for unknown types."""
    return json.dumps(to_plain(value), allow_nan=False)


def to_plain(value: Any) -> Any:  # noqa: ANN401, C901, PLR0911 - one line a type
    """
    Return `value` as types that JSON has.

    Timestamps are in UTC with all digits, so that they sort as text; NaN and infinity become null.
    """
    match value:
        case enum.Enum():
            return value.value
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case decimal.Decimal():
            is_whole = value.is_finite() and value == value.to_integral_value()
            return int(value) if is_whole else to_plain(float(value))
        case dt.datetime():
            return format_time(value)
        case dt.date():
            return value.isoformat()
        case dt.timedelta():
            return value.total_seconds()
        case bytes() | bytearray() | memoryview():
            return bytes(value).decode("utf-8", "backslashreplace")
        case Mapping():
            return {to_plain(key): to_plain(each) for key, each in value.items()}
        case list() | tuple():
            return [to_plain(each) for each in value]
    if dataclasses.is_dataclass(value):
        return {each.name: to_plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__name__} has no JSON representation")


def format_time(moment: dt.datetime) -> str:
    """Return `2026-11-19T15:06:41.186000Z`, always with six digits; a naive timestamp is taken as UTC."""
    utc = moment.astimezone(dt.UTC) if moment.tzinfo else moment
    return f"{utc.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
