"""One frame, or an iterator of its chunks, from checked arguments."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from numbers import Integral
from typing import TYPE_CHECKING, Any

import pandas as pd

from etl.frames.chunks import iter_chunks
from etl.frames.dtypes import check_backend
from etl.frames.times import parse_range

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Sequence

    from etl.frames.chunks import Source
    from etl.frames.dtypes import Array, DtypeBackend
    from etl.frames.selection import Selection
    from etl.frames.times import Instant

# Rows that are Python objects at one time: few enough to stay in the processor's cache.
_CHUNK_ROWS = 2_000
# The largest number of rows that every driver can fetch at once.
_MAX_CHUNKSIZE = 2**31 - 1


def read_frame(  # noqa: PLR0913 (the arguments that users have)
    selection: Selection,
    source: Source = None,
    *,
    since: Instant = None,
    until: Instant = None,
    columns: Sequence[str] | None = None,
    chunksize: int | None = None,
    dtype_backend: DtypeBackend | None = None,
) -> pd.DataFrame | Iterator[pd.DataFrame]:
    """
    Return the frame, or with `chunksize` an iterator of its chunks.

    Raises ValueError for invalid arguments at once, not only when the first chunk is read.
    """
    names = _checked_columns(selection, columns)
    selection = _in_range(selection, *parse_range(since, until))
    check_backend(dtype_backend)
    if chunksize is None:
        return _whole(names, iter_chunks(source, selection, names, _CHUNK_ROWS, dtype_backend))
    size = _checked_chunksize(chunksize)
    return _frames(names, iter_chunks(source, selection, names, size, dtype_backend))


def _checked_columns(selection: Selection, columns: Sequence[str] | None) -> list[str]:
    if columns is None:
        return list(selection.columns)
    if isinstance(columns, str):
        raise ValueError(f"columns={columns!r} must be a list: write columns=[{columns!r}]")  # noqa: TRY004
    names = list(columns) if isinstance(columns, Iterable) else [columns]
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"columns={columns!r} must be a list of names")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"columns={names!r} must name at least one column, and none twice")
    unknown = ", ".join(repr(name) for name in names if name not in selection.columns)
    if unknown:
        raise ValueError(
            f"{selection.name} has no column {unknown}: choose from {', '.join(selection.columns)}"
        )
    return names


def _checked_chunksize(chunksize: Any) -> int:  # noqa: ANN401 (it is checked)
    if (
        isinstance(chunksize, bool)
        or not isinstance(chunksize, Integral)
        or not 1 <= int(chunksize) <= _MAX_CHUNKSIZE
    ):
        raise ValueError(
            f"chunksize={chunksize!r} is not a number of rows: write an integer from 1 to {_MAX_CHUNKSIZE:,}"
        )
    return int(chunksize)


def _in_range(selection: Selection, since: dt.datetime | None, until: dt.datetime | None) -> Selection:
    if since is None and until is None:
        return selection
    if selection.time is None:
        raise ValueError(
            f"{selection.name} has no time column for since and until to compare: {selection.why_no_time}"
        )
    bounds = [] if since is None else [selection.time >= since]
    if until is not None:
        bounds.append(selection.time < until)
    return dataclasses.replace(selection, conditions=(*selection.conditions, *bounds))


def _whole(names: Sequence[str], chunks: Iterator[list[Array]]) -> pd.DataFrame:
    """Concatenate column by column, freeing the parts of each, so that memory holds one frame and not two."""
    parts = [list(arrays) for arrays in zip(*chunks, strict=True)]
    columns = {
        name: pd.concat([pd.Series(array, copy=False) for array in parts.pop(0)], ignore_index=True)
        for name in names
    }
    return pd.DataFrame(columns, copy=False)


def _frames(names: Sequence[str], chunks: Iterator[list[Array]]) -> Iterator[pd.DataFrame]:
    start = 0
    for arrays in chunks:
        index = pd.RangeIndex(start, start + len(arrays[0]))
        yield pd.DataFrame(dict(zip(names, arrays, strict=True)), index=index, copy=False)
        start = index.stop
