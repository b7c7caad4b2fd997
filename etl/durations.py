"""Durations: read as people type them (`90s`, `5m`, `1h`, `2d`), and printed in one way everywhere."""

from __future__ import annotations

import datetime as dt
import re

MAX_DURATION = dt.timedelta(days=36_500)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_SECONDS_WITH_FRACTION = 10
_MINUTES_WITH_SECONDS = 10


def parse_duration(text: str) -> dt.timedelta:
    """
    Return the duration written as `90s`, `5m`, `1h` or `2d`.

    Raises ValueError for anything else, including zero, negative durations and more than a hundred years.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write 90s, 5m, 1h or 2d")
    try:
        duration = dt.timedelta(**{_UNITS[match[2]]: float(match[1])})
    except OverflowError:
        duration = dt.timedelta.max
    if not dt.timedelta(0) < duration <= MAX_DURATION:
        raise ValueError(f"{text!r} is not a duration between zero and a hundred years")
    return duration


def duration_as_option(duration: dt.timedelta) -> str:
    """Return the text that `parse_duration` reads as this duration, in the largest unit that fits exactly."""
    seconds = duration.total_seconds()
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def format_duration(duration: dt.timedelta | float) -> str:
    """
    Return a duration, or a number of seconds, for people to read: `0.6 s`, `4 min`, `2 h 5 min`, `3 d 4 h`.

    It is rounded to what matters at its size, and never written with more than two units.
    """
    seconds = duration.total_seconds() if isinstance(duration, dt.timedelta) else duration
    if 0 < round(seconds, 3) < 0.1:  # noqa: PLR2004 - `0.0 s` says nothing
        return f"{seconds * 1000:.0f} ms"
    if round(seconds, 1) < _SECONDS_WITH_FRACTION:
        return f"{seconds:.1f} s".replace(".0 ", " ")
    if round(seconds) < _MINUTE:
        return f"{round(seconds)} s"
    if round(seconds) < _MINUTES_WITH_SECONDS * _MINUTE:
        return _in_two_units(round(seconds), _MINUTE, "min", "s")
    minutes = round(seconds / _MINUTE)
    if minutes < _DAY // _MINUTE:
        return _in_two_units(minutes, _HOUR // _MINUTE, "h", "min")
    return _in_two_units(round(seconds / _HOUR), _DAY // _HOUR, "d", "h")


def _in_two_units(number: int, per_large_unit: int, large: str, small: str) -> str:
    whole, rest = divmod(number, per_large_unit)
    parts = ((whole, large), (rest, small))
    return " ".join(f"{count:,} {unit}" for count, unit in parts if count)
