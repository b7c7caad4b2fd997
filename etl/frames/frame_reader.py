"""One frame, or an iterator of its chunks, out of what a user asks for."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import TYPE_CHECKING, Any, Protocol, cast, overload

import pandas as pd

from etl.frames.chunks import iter_blocks
from etl.frames.dtypes import check_backend
from etl.frames.times import parse_range

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator, Sequence

    import sqlalchemy as sa

    from etl.frames.catalog import Relation
    from etl.frames.chunks import Source
    from etl.frames.dtypes import Array, DtypeBackend
    from etl.frames.times import Instant

# So many rows are Python objects at a time: few enough to stay in the processor's cache.
_BLOCK = 2_000


# More rows at a time than any driver counts.
_MAX_SIZE = 2**31 - 1


class FrameReader(Protocol):
    """What the functions of `etl.frames` are to a type checker: only with `chunksize` an iterator."""

    @overload
    def __call__(
        self,
        source: Source = None,
        *,
        since: Instant = None,
        until: Instant = None,
        columns: Sequence[str] | None = None,
        chunksize: None = None,
        dtype_backend: DtypeBackend | None = None,
    ) -> pd.DataFrame: ...

    @overload
    def __call__(
        self,
        source: Source = None,
        *,
        since: Instant = None,
        until: Instant = None,
        columns: Sequence[str] | None = None,
        chunksize: int,
        dtype_backend: DtypeBackend | None = None,
    ) -> Iterator[pd.DataFrame]: ...


def frame_reader(function: Callable[..., Any]) -> FrameReader:
    """Leave the function as it is, and its type a `FrameReader`."""
    return cast("FrameReader", function)


def read(  # noqa: PLR0913 (what a user may ask for)
    relation: Relation,
    source: Source,
    *,
    since: Instant,
    until: Instant,
    columns: Sequence[str] | None,
    chunksize: int | None,
    dtype_backend: DtypeBackend | None = None,
) -> pd.DataFrame | Iterator[pd.DataFrame]:
    """
    Give the frame, or with `chunksize` an iterator of its parts.

    Raises ValueError, at once and not only when the first part is asked for, for arguments that cannot be.
    """
    names = _checked_columns(relation, columns)
    bounds = _bounds(relation, *parse_range(since, until))
    check_backend(dtype_backend)
    if chunksize is None:
        return _whole(names, iter_blocks(source, relation, names, bounds, _BLOCK, dtype_backend))
    size = _checked_size(chunksize)
    return _chunks(names, iter_blocks(source, relation, names, bounds, size, dtype_backend))


def _checked_columns(relation: Relation, columns: Sequence[str] | None) -> list[str]:
    if columns is None:
        return list(relation.columns)
    if isinstance(columns, str):
        raise ValueError(f"columns={columns!r} must be a list: write columns=[{columns!r}]")  # noqa: TRY004
    names = list(columns) if isinstance(columns, Iterable) else [columns]
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"columns={columns!r} must be a list of names")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"columns={names!r} must name at least one column, and none twice")
    unknown = ", ".join(repr(name) for name in names if name not in relation.columns)
    if unknown:
        raise ValueError(f"{relation.name} has no column {unknown}: it has {', '.join(relation.columns)}")
    return names


def _checked_size(chunksize: Any) -> int:  # noqa: ANN401 (it is checked)
    if (
        isinstance(chunksize, bool)
        or not isinstance(chunksize, Integral)
        or not 1 <= int(chunksize) <= _MAX_SIZE
    ):
        raise ValueError(
            f"chunksize={chunksize!r} is no number of rows: write a whole one, from 1 to {_MAX_SIZE:,}"
        )
    return int(chunksize)


def _bounds(
    relation: Relation, since: dt.datetime | None, until: dt.datetime | None
) -> list[sa.ColumnElement[bool]]:
    bounds: list[sa.ColumnElement[bool]] = []
    if relation.time is None:
        if since is not None or until is not None:
            raise ValueError(f"{relation.name} has no time: since and until cannot cut a range out of it")
        return bounds
    if since is not None:
        bounds.append(relation.time >= since)
    if until is not None:
        bounds.append(relation.time < until)
    return bounds


def _whole(names: Sequence[str], blocks: Iterator[list[Array]]) -> pd.DataFrame:
    """Join column by column, and let go of the parts of each: memory holds one frame, not two."""
    parts = [list(arrays) for arrays in zip(*blocks, strict=True)]
    columns = {
        name: pd.concat([pd.Series(array, copy=False) for array in parts.pop(0)], ignore_index=True)
        for name in names
    }
    return pd.DataFrame(columns, copy=False)


def _chunks(names: Sequence[str], blocks: Iterator[list[Array]]) -> Iterator[pd.DataFrame]:
    start = 0
    for arrays in blocks:
        index = pd.RangeIndex(start, start + len(arrays[0]))
        yield pd.DataFrame(dict(zip(names, arrays, strict=True)), index=index, copy=False)
        start = index.stop
