"""The content of a task: encoded for a driver, or compared with a stored row. Pure functions."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from etl.extract.payload import CONTENT
from etl.models import TASKS, Json, UtcDateTime

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from etl.load.bulk import Encoder

# The API shows some times in whole seconds, truncated.
CLOCK_RESOLUTION = dt.timedelta(seconds=1)

_INSTANTS = tuple(place for place, name in enumerate(CONTENT) if isinstance(TASKS.c[name].type, UtcDateTime))
_DOCUMENTS = tuple(place for place, name in enumerate(CONTENT) if isinstance(TASKS.c[name].type, Json))


def encode_content(content: Iterable[Any], encoder: Encoder) -> list[Any]:
    """Return the values of CONTENT, in its order, as the driver accepts them."""
    values = list(content)
    for place in _INSTANTS:
        if values[place] is not None:
            values[place] = encoder.instant(values[place])
    for place in _DOCUMENTS:
        if values[place] is not None:
            values[place] = encoder.document(values[place])
    return values


def creation_bounds(
    started_at: dt.datetime | None, created_after: dt.datetime | None, created_before: dt.datetime | None
) -> tuple[dt.datetime | None, dt.datetime | None]:
    """
    Return the narrowest bounds on the creation time that are certain.

    `created_after` is the filter of the list that showed the task, `created_before` a time at which it
    existed already; and a task is created before it starts. If the two contradict each other, only the upper
    one counts.
    """
    if started_at is not None:
        started_by = started_at + CLOCK_RESOLUTION
        if created_before is None or started_by < created_before:
            created_before = started_by
    if created_after is not None and created_before is not None and created_after >= created_before:
        created_after = None
    return created_after, created_before


def differs(content: Mapping[str, Any], stored: Mapping[Any, Any]) -> bool:
    """Return whether the content of a record differs from that of the stored row."""
    return not all(_is_same(content[name], stored[name]) for name in CONTENT)


def _is_same(one: Any, other: Any) -> bool:  # noqa: ANN401
    """
    Return whether two values are the same, JSON or not.

    Unlike in Python, `true` is not 1; and 1e23 is 10 to the 23rd, as Postgres returns it, not the nearest
    double.
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
