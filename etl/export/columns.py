"""From the arrays of a frame to the plain values that a file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import sqlalchemy as sa

from etl.frames.dtypes import Day
from etl.models import Json, UtcDateTime

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from sqlalchemy.types import TypeEngine

    # The columns of a file, and what the database stores in each.
    Types = Mapping[str, TypeEngine[Any]]

_encode = msgspec.json.Encoder().encode


def plain_values(column: pd.Series[Any], stored: TypeEngine[Any]) -> list[Any]:
    """
    Give the values of a column: text, numbers, true and false, what JSON holds; None for null.

    An instant is ISO 8601 text in UTC, with all six digits of the second; a day is `YYYY-MM-DD`.
    """
    if isinstance(stored, (UtcDateTime, Day)):
        unit = "D" if isinstance(stored, Day) else "us"
        shown = np.datetime_as_string(column.to_numpy(dtype="datetime64[us]"), unit=unit)  # type: ignore[call-overload]
        end = "" if isinstance(stored, Day) else "Z"
        return [None if text == "NaT" else f"{text}{end}" for text in shown.tolist()]
    if isinstance(stored, Json):
        return list(column)
    if isinstance(stored, sa.Double):
        return [None if number != number else number for number in column.tolist()]  # noqa: PLR0124 - NaN
    array: Any = column.array
    values: list[Any] = array.to_numpy(dtype=object, na_value=None).tolist()
    return values


def json_text(value: Any) -> str | None:  # noqa: ANN401
    """Write a JSON document as text; null stays null."""
    return None if value is None else _encode(value).decode()
