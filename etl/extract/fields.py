"""
The values of a record, one by one: each is of the type it should be, or it is refused.

Every reader takes a decoded JSON value that is not None, and raises ValueError, TypeError or OverflowError if
it makes no sense.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from etl.errors import RecordError
from etl.extract.lenient_json import MAX_DEPTH, NumberText, escaped, is_shallow, loads, split_object, storable

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# Beside the fields, by their names: the ASCII JSON of each that held characters no database takes.
ORIGINALS = "_originals"
# Only a body with one of these can hold a character that no database takes, or that msgspec lets pass.
_SUSPECT = re.compile(rb"\\u0000|\\u[dD][89a-fA-F]")
_NUMERAL = re.compile(r"\s*[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?\s*", re.ASCII)
# The zeros of Go and Unix, the years 1 and 1970, and the end of the calendar say that there is no time.
_FIRST_YEAR, _LAST_YEAR = 1971, 9998
_decode = msgspec.json.Decoder().decode


def members_of(raw: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give a record's fields, and what of them could not be read or stored as it came."""
    if not _SUSPECT.search(raw):
        try:
            fields = _decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        else:
            if not isinstance(fields, dict):
                raise RecordError("not an object")
            if raw.count(b"[") + raw.count(b"{") < MAX_DEPTH or is_shallow(fields):
                return fields, {}
    return _read_leniently(raw)


def _read_leniently(raw: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        members = split_object(raw)
    except ValueError as error:
        raise RecordError(f"not a JSON object: {error}") from None
    fields: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    originals: dict[str, str] = {}
    for key, text in members.items():
        name = storable(key)
        try:
            value = loads(text)
            clean = storable(value)
        except ValueError:
            extra[name] = storable(text.decode("utf-8", "surrogateescape"))
            continue
        if key == "task_id":
            fields[name] = value
            continue
        # A repaired name may be that of another field, which then keeps it.
        if key == name or name not in members:
            fields[name] = clean
        if clean != value or key != name:
            originals[escaped(key)[1:-1]] = escaped({key: value})
    if originals:
        extra[ORIGINALS if ORIGINALS not in members else f"_{ORIGINALS}"] = originals
    return fields, extra


def text(value: Any) -> str:  # noqa: ANN401
    """Read text."""
    if not isinstance(value, str) or isinstance(value, NumberText):
        raise TypeError(value)
    return value


def json_object(value: Any) -> dict[str, Any]:  # noqa: ANN401
    """Read an object."""
    if not isinstance(value, dict):
        raise TypeError(value)
    return value


def json_array(value: Any) -> list[Any]:  # noqa: ANN401
    """Read an array."""
    if not isinstance(value, list):
        raise TypeError(value)
    return value


def flag(value: Any) -> bool:  # noqa: ANN401
    """Read true or false."""
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def number(value: Any) -> float:  # noqa: ANN401
    """Read a finite number, also one that is written as text."""
    result = float(_numeral(value))
    if not math.isfinite(result):
        raise ValueError(value)
    return result


def integer(value: Any, bits: int = 64) -> int:  # noqa: ANN401
    """Read a whole number that a signed column of so many bits can hold."""
    result = int(_numeral(value))
    if (isinstance(value, float) and result != value) or abs(result) >= 1 << (bits - 1):
        raise ValueError(value)
    return result


def _numeral(value: Any) -> int | float | str:  # noqa: ANN401
    """Give a number, or text that JSON would take for one; Python itself takes more, `1_0` for one."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError(value)
    if isinstance(value, str) and not _NUMERAL.fullmatch(value):
        raise ValueError(value)
    return value


def small_integer(value: Any) -> int:  # noqa: ANN401
    """Read a whole number for a column of 32 bits."""
    return integer(value, bits=32)


def instant(value: Any) -> dt.datetime:  # noqa: ANN401
    """Read an ISO 8601 time; one that names no zone is taken for UTC, in which the API writes."""
    if not isinstance(value, str):
        raise TypeError(value)
    try:
        # The same reader as that of plain records, which rounds what is finer than a microsecond.
        moment = msgspec.convert(value, dt.datetime)
    except msgspec.ValidationError:
        moment = dt.datetime.fromisoformat(value)
    return sensible(moment)


def sensible(moment: dt.datetime) -> dt.datetime:
    """Give an instant in UTC. Raises ValueError for one that says that there is no time."""
    if moment.tzinfo is not dt.UTC:
        moment = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ValueError(moment)
    return moment


def readable(value: Any, read: Callable[[Any], T]) -> T | None:  # noqa: ANN401
    """Give what `read` makes of a value; None for one that is missing or makes no sense."""
    try:
        return None if value is None else read(value)
    except (ValueError, TypeError, OverflowError):
        return None
