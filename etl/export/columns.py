"""From the columns of a frame to the plain values that a text file contains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np

from etl.catalog import ColumnType

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    # The columns of a file.
    Types: TypeAlias = Mapping[str, ColumnType]

_encode = msgspec.json.Encoder().encode


def plain_values(column: pd.Series[Any], kind: ColumnType) -> list[Any]:
    """
    Return the values of a column as text, numbers, booleans, JSON documents, and None for null.

    A timestamp is ISO 8601 text in UTC with six digits for the fraction of the second; a day is `YYYY-MM-DD`.
    """
    if kind in {ColumnType.TIMESTAMP, ColumnType.DAY}:
        unit, suffix = ("D", "") if kind is ColumnType.DAY else ("us", "Z")
        texts = np.datetime_as_string(column.to_numpy(dtype="datetime64[us]"), unit=unit)  # type: ignore[call-overload]
        return [None if text == "NaT" else f"{text}{suffix}" for text in texts.tolist()]
    if kind is ColumnType.JSON:
        return list(column)
    if kind is ColumnType.DOUBLE:
        return [None if number != number else number for number in column.tolist()]  # noqa: PLR0124 - NaN
    array: Any = column.array
    values: list[Any] = array.to_numpy(dtype=object, na_value=None).tolist()
    return values


def json_text(value: Any) -> str | None:  # noqa: ANN401
    """Return a JSON document as text, and None for null."""
    return None if value is None else _encode(value).decode()
