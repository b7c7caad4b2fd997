"""From a column of the database to an array of pandas: what is selected, and what is made of it."""

from __future__ import annotations

import datetime as dt
import importlib.util
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import msgspec
import numpy as np
import pandas as pd
import sqlalchemy as sa
from pandas.api.extensions import ExtensionArray
from sqlalchemy.types import NullType

from etl.models import Json, UtcDateTime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.types import TypeEngine

Array: TypeAlias = ExtensionArray | np.ndarray[Any, Any]
DtypeBackend: TypeAlias = Literal["numpy_nullable", "pyarrow"]
_NULLABLE = ((sa.Double, "Float64"), (sa.Boolean, "boolean"), (sa.Integer, "Int64"))

_decode = msgspec.json.Decoder().decode


class Day(sa.TypeDecorator[dt.datetime]):
    """A day as the views write it, `YYYY-MM-DD`, that stands for the midnight at which it begins."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002
        """Give a text that sorts before a day just if this instant does, and after it likewise."""
        if value is None:
            return None
        day = value.date().isoformat()
        return day if value.time() == dt.time() else f"{day}T"


def as_stored(column: sa.ColumnElement[Any], dialect: str) -> sa.ColumnElement[Any]:
    """
    Select a column in the form in which a million values are converted soonest.

    That is as it is, without a Python object for each instant: they come as text, which numpy reads, on
    Postgres too, and JSON as the text it is.
    """
    if dialect != "sqlite" and isinstance(column.type, UtcDateTime):
        column = sa.func.to_char(sa.func.timezone("UTC", column), "YYYY-MM-DD HH24:MI:SS.US")
    elif dialect != "sqlite" and isinstance(column.type, Json):
        column = sa.cast(column, sa.Text())
    return sa.type_coerce(column, NullType())


def check_backend(backend: DtypeBackend | None) -> None:
    """Raise ValueError for a backend that pandas has not, ImportError for one that is not installed."""
    if backend not in (None, *get_args(DtypeBackend)):
        known = " or ".join(map(repr, get_args(DtypeBackend)))
        raise ValueError(f"dtype_backend={backend!r} is none: write {known}, or leave it out")
    if backend == "pyarrow" and importlib.util.find_spec("pyarrow") is None:
        raise ImportError("dtype_backend='pyarrow' needs pyarrow: pip install 'gcore-ai-tasks-etl[export]'")


def to_array(
    values: Sequence[Any],
    stored: TypeEngine[Any],
    words: pd.CategoricalDtype | None,
    backend: DtypeBackend | None,
) -> Array:
    """Make the array of one column; `words` are those it may hold, None where it is no enumeration."""
    if words is not None:
        return pd.Categorical(values, dtype=words)
    if isinstance(stored, Json):
        decoded = (None if value is None else _decode(value) for value in values)
        return np.fromiter(decoded, dtype=object, count=len(values))
    if backend == "pyarrow":
        return _to_arrow(values, stored)
    if isinstance(stored, (UtcDateTime, Day)):
        return pd.array(np.array(values, dtype="datetime64[us]"), dtype="datetime64[us, UTC]")
    if isinstance(stored, sa.Double) and backend is None:
        return np.array(values, dtype="float64")
    name = next((name for kind, name in _NULLABLE if isinstance(stored, kind)), "string")
    array: ExtensionArray = pd.array(values, dtype=name)  # type: ignore[call-overload]
    return array


def _to_arrow(values: Sequence[Any], stored: TypeEngine[Any]) -> ExtensionArray:
    import pyarrow as pa  # noqa: PLC0415 - an extra

    if isinstance(stored, (UtcDateTime, Day)):
        moments = np.array(values, dtype="datetime64[us]")
        is_null = np.isnat(moments)
        # Arrow subtracts what stands behind a null, too: numpy's smallest number there would overflow.
        moments[is_null] = 0
        array = pa.array(moments, mask=is_null).cast(pa.timestamp("us", "UTC"))
    elif isinstance(stored, sa.Boolean):
        array = pa.array([None if value is None else bool(value) for value in values], pa.bool_())
    elif isinstance(stored, sa.Double):
        array = pa.array(values, pa.float64())
    else:
        array = pa.array(values, pa.int64() if isinstance(stored, sa.Integer) else pa.string())
    return pd.arrays.ArrowExtensionArray(array)
