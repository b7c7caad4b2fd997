"""What `since` and `until` may be, read as instants."""

from __future__ import annotations

import datetime as dt
from typing import TypeAlias

import numpy as np
import pandas as pd

# A pandas Timestamp is a datetime, and a datetime is a date.
Instant: TypeAlias = str | dt.date | np.datetime64 | None


def parse_range(since: Instant, until: Instant) -> tuple[dt.datetime | None, dt.datetime | None]:
    """
    Read both ends in UTC.

    Raises ValueError for one that is no time, and for a range that ends before it begins.
    """
    start, end = _parse("since", since), _parse("until", until)
    if start is not None and end is not None and end < start:
        raise ValueError(f"until={until} lies before since={since}")
    return start, end


def _parse(name: str, value: Instant) -> dt.datetime | None:
    if value is None:
        return None
    try:
        moment = pd.Timestamp(_checked(value))
        moment = moment.tz_localize("UTC") if moment.tzinfo is None else moment.tz_convert("UTC")
        # The database counts whole microseconds: what is not before a part of one is not before the next.
        return moment.ceil("us").to_pydatetime()
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"{name}={value!r} is no time: write 2026-06-26 or 2026-06-26T12:00+02:00") from None


def _checked(value: Instant) -> dt.date | np.datetime64:
    if isinstance(value, str):
        return dt.datetime.fromisoformat(value.strip())
    if not isinstance(value, (dt.date, np.datetime64)) or pd.isna(value):
        raise TypeError(value)
    return value
