"""One payload in, one row out. Pure: no clock, no database."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from etl.extract.payload import CONTENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from etl.extract.payload import Task
    from etl.load.bulk import Encoder

# The API shows some times in whole seconds, cut off.
CLOCK_RESOLUTION = dt.timedelta(seconds=1)


def content_of(payload: Task) -> dict[str, Any]:
    """Give the columns that the API decides."""
    content = dict(zip(CONTENT, payload.content(), strict=True))
    if isinstance(content["task_data"], msgspec.Struct):
        content["task_data"] = msgspec.to_builtins(content["task_data"])
    return content


def encode_content(payload: Task, encoder: Encoder) -> tuple[Any, ...]:
    """Return the values of these columns, in their order, as the driver takes them."""
    return encode_values(payload.content(), encoder)


def encode_values(content: Iterable[Any], encoder: Encoder) -> tuple[Any, ...]:
    """Return the values of CONTENT as the driver takes them."""
    instant, document = encoder.instant, encoder.document
    *as_they_are, task_data, started_at, completed_at, total_time_sec, date_created, extra = content
    return (
        *as_they_are,
        None if task_data is None else document(task_data),
        None if started_at is None else instant(started_at),
        None if completed_at is None else instant(completed_at),
        total_time_sec,
        None if date_created is None else instant(date_created),
        None if extra is None else document(extra),
    )


def creation_bounds(
    started_at: dt.datetime | None, created_after: dt.datetime | None, created_before: dt.datetime | None
) -> tuple[dt.datetime | None, dt.datetime | None]:
    """
    Give the narrowest bounds on the creation time that hold.

    `created_after` is what the list said that showed the task, `created_before` when it was there already;
    and it cannot have started before it was created. Where the two contradict each other, only the upper one
    is true.
    """
    if started_at is not None:
        started_by = started_at + CLOCK_RESOLUTION
        if created_before is None or started_by < created_before:
            created_before = started_by
    if created_after is not None and created_before is not None and created_after >= created_before:
        created_after = None
    return created_after, created_before


def differs(content: Mapping[str, Any], stored: Mapping[Any, Any]) -> bool:
    """Tell whether a sighting says something else than the row that is stored."""
    return not all(_is_same(content[name], stored[name]) for name in CONTENT)


def _is_same(one: Any, other: Any) -> bool:  # noqa: ANN401
    """
    Compare two values, JSON or not.

    Unlike in Python, `true` is not 1; and 1e23 is 10 to the 23rd, as which Postgres gives it back, not the
    double nearest to it.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    if {type(one), type(other)} == {int, float}:
        return Decimal(repr(one)) == Decimal(repr(other))
    return bool(one == other)
