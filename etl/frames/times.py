"""The values of `since` and `until`, parsed as instants."""

from __future__ import annotations

import datetime as dt
from typing import TypeAlias

import numpy as np
import pandas as pd

# A pandas Timestamp is a datetime, and a datetime is a date.
Instant: TypeAlias = str | dt.date | np.datetime64 | None


def parse_range(since: Instant, until: Instant) -> tuple[dt.datetime | None, dt.datetime | None]:
    """
    Return both ends in UTC.

    Raises ValueError for a value that is not a date or time, and for a range that ends before it starts.
    """
    start, end = _parse("since", since), _parse("until", until)
    if start is not None and end is not None and end < start:
        raise ValueError(f"until={until} is before since={since}")
    return start, end


def _parse(name: str, value: Instant) -> dt.datetime | None:
    if value is None:
        return None
    try:
        instant = pd.Timestamp(_checked(value))
        instant = instant.tz_localize("UTC") if instant.tzinfo is None else instant.tz_convert("UTC")
        # The database stores whole microseconds, and none of them lies between an instant and its ceiling.
        return instant.ceil("us").to_pydatetime()
    except (ValueError, TypeError, OverflowError):
        raise ValueError(
            f"{name}={value!r} is not a date or time: write 2026-06-26 or 2026-06-26T12:00+02:00"
        ) from None


def _checked(value: Instant) -> dt.date | np.datetime64:
    if isinstance(value, str):
        return dt.datetime.fromisoformat(value.strip())
    if not isinstance(value, (dt.date, np.datetime64)) or pd.isna(value):
        raise TypeError(value)
    return value
