"""
Readers of single values of a record, one per type.

Each accepts a decoded JSON value other than None, and raises ValueError, TypeError or OverflowError if that
is not of its type.
"""

from __future__ import annotations

import datetime as dt
import functools
import math
import re
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from etl.extract.lenient_json import NumberText

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_NUMERAL = re.compile(r"\s*[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?\s*", re.ASCII)
# Years outside this range are placeholders for no time: the zero times of Go (1) and Unix (1970), and 9999.
_FIRST_YEAR, _LAST_YEAR = 1971, 9998


def _is_a(kind: type[T]) -> Callable[[Any], T]:
    def read(value: Any) -> T:  # noqa: ANN401
        if not isinstance(value, kind) or isinstance(value, NumberText):
            raise TypeError(value)
        return value

    return read


text = _is_a(str)
flag = _is_a(bool)
json_object: Callable[[Any], dict[str, Any]] = _is_a(dict)
json_array: Callable[[Any], list[Any]] = _is_a(list)


def number(value: Any) -> float:  # noqa: ANN401
    """Return a finite number, which may be written as text."""
    result = float(_numeral(value))
    if not math.isfinite(result):
        raise ValueError(value)
    return result


def integer(value: Any, bits: int = 64) -> int:  # noqa: ANN401
    """Return an integer that a signed column of so many bits can hold."""
    result = int(_numeral(value))
    if (isinstance(value, float) and result != value) or abs(result) >= 1 << (bits - 1):
        raise ValueError(value)
    return result


def _numeral(value: Any) -> int | float | str:  # noqa: ANN401
    """Return a number, or text that is a number in JSON; Python accepts more, such as `1_0`."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError(value)
    if isinstance(value, str) and not _NUMERAL.fullmatch(value):
        raise ValueError(value)
    return value


# An integer that a column of 32 bits can hold.
small_integer = functools.partial(integer, bits=32)


def instant(value: Any) -> dt.datetime:  # noqa: ANN401
    """Return an ISO 8601 timestamp in UTC; one without a zone is in UTC, as the API writes it."""
    if not isinstance(value, str):
        raise TypeError(value)
    try:
        # As the strict decoder does, which rounds fractions of a microsecond.
        moment = msgspec.convert(value, dt.datetime)
    except msgspec.ValidationError:
        moment = dt.datetime.fromisoformat(value)
    return sensible(moment)


def sensible(moment: dt.datetime) -> dt.datetime:
    """Return a timestamp in UTC. Raises ValueError for one that means that there is no time."""
    if moment.tzinfo is not dt.UTC:
        moment = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ValueError(moment)
    return moment


def readable(value: Any, read: Callable[[Any], T]) -> T | None:  # noqa: ANN401
    """Return what `read` returns for a value; None if the value is missing or `read` rejects it."""
    try:
        return None if value is None else read(value)
    except (ValueError, TypeError, OverflowError):
        return None
