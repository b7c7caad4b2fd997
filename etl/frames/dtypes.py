"""From a database column to a pandas array: how it is selected, and how its values are converted."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import msgspec
import numpy as np
import pandas as pd
import sqlalchemy as sa
from pandas.api.extensions import ExtensionArray
from sqlalchemy.types import NullType

from etl.catalog import ColumnType

if TYPE_CHECKING:
    from collections.abc import Sequence

Array: TypeAlias = ExtensionArray | np.ndarray[Any, Any]
DtypeBackend: TypeAlias = Literal["numpy_nullable", "pyarrow"]

_INSTANTS = (ColumnType.TIMESTAMP, ColumnType.DAY)
_NULLABLE = {ColumnType.DOUBLE: "Float64", ColumnType.BOOLEAN: "boolean", ColumnType.INTEGER: "Int64"}

_decode = msgspec.json.Decoder().decode


def as_stored(column: sa.ColumnElement[Any], kind: ColumnType, dialect: str) -> sa.ColumnElement[Any]:
    """
    Return what to select in order to read a column as text, integers and floats.

    Timestamps are read as text, which NumPy parses much faster than a driver makes a million datetimes, and
    JSON as the text it is.
    """
    if dialect != "sqlite" and kind is ColumnType.TIMESTAMP:
        column = sa.func.to_char(sa.func.timezone("UTC", column), "YYYY-MM-DD HH24:MI:SS.US")
    elif dialect != "sqlite" and kind is ColumnType.JSON:
        column = sa.cast(column, sa.Text())
    return sa.type_coerce(column, NullType())


def check_backend(backend: DtypeBackend | None) -> None:
    """Raise ValueError for an unknown backend, ImportError for one that is not installed."""
    if backend not in (None, *get_args(DtypeBackend)):
        known = " or ".join(map(repr, get_args(DtypeBackend)))
        raise ValueError(f"dtype_backend={backend!r} is unknown: write {known}, or leave it out")
    if backend == "pyarrow" and importlib.util.find_spec("pyarrow") is None:
        raise ImportError("dtype_backend='pyarrow' needs pyarrow: pip install 'gcore-ai-tasks-etl[export]'")


def to_array(
    values: Sequence[Any],
    kind: ColumnType,
    categories: pd.CategoricalDtype | None,
    backend: DtypeBackend | None,
) -> Array:
    """Return the array of one column; `categories` is None unless the column is an enumeration."""
    if categories is not None:
        return pd.Categorical(values, dtype=categories)
    if kind is ColumnType.JSON:
        decoded = (None if value is None else _decode(value) for value in values)
        return np.fromiter(decoded, dtype=object, count=len(values))
    if backend == "pyarrow":
        return _to_arrow(values, kind)
    if kind in _INSTANTS:
        return pd.array(np.array(values, dtype="datetime64[us]"), dtype="datetime64[us, UTC]")
    if kind is ColumnType.DOUBLE and backend is None:
        return np.array(values, dtype="float64")
    array: ExtensionArray = pd.array(values, dtype=_NULLABLE.get(kind, "string"))  # type: ignore[call-overload]
    return array


def _to_arrow(values: Sequence[Any], kind: ColumnType) -> ExtensionArray:
    import pyarrow as pa  # noqa: PLC0415 - an extra

    if kind in _INSTANTS:
        instants = np.array(values, dtype="datetime64[us]")
        is_null = np.isnat(instants)
        # Arrow also subtracts the values behind nulls: NaT, the smallest integer, would overflow.
        instants[is_null] = 0
        array = pa.array(instants, mask=is_null).cast(pa.timestamp("us", "UTC"))
    elif kind is ColumnType.BOOLEAN:
        array = pa.array([None if value is None else bool(value) for value in values], pa.bool_())
    elif kind is ColumnType.DOUBLE:
        array = pa.array(values, pa.float64())
    else:
        array = pa.array(values, pa.int64() if kind is ColumnType.INTEGER else pa.string())
    return pd.arrays.ArrowExtensionArray(array)
