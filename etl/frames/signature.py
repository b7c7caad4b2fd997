"""The signature and the common documentation of the public functions, each written once."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, TypeVar, cast, overload

from etl.frames.frame import read_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Unpack

    import pandas as pd

    from etl.frames.chunks import Source
    from etl.frames.dtypes import DtypeBackend
    from etl.frames.selection import Selection
    from etl.frames.times import Instant

F = TypeVar("F", bound="Callable[..., Any]")


class FrameOptions(TypedDict, total=False):
    """The keyword arguments of every function, besides `chunksize`."""

    since: Instant
    until: Instant
    columns: Sequence[str] | None
    dtype_backend: DtypeBackend | None


class FrameFunction(Protocol):
    """
    These arguments are common to all functions.

    source: a database URL, or a SQLAlchemy engine or connection, which stays open. The default is the
        database in GCORE_ETL_DATABASE_URL.
    since, until: select the rows of a time range; `since` is inclusive, `until` exclusive. Each is a
        datetime, a date or ISO 8601 text, in UTC if it has no time zone. Rows without a time are in no range.
    columns: the columns to read, in this order. The others are not read from the database.
    chunksize: return an iterator of frames with this many rows each, instead of one frame. It opens the
        database at the first frame and closes it after the last. There is always at least one frame.
    dtype_backend: "numpy_nullable" or "pyarrow"; see `help(etl.frames)`.

    Raises ValueError for an invalid argument, TypeError for a source of another type, ImportError if pyarrow
    is requested and not installed; and from `etl.errors` ConfigurationError for an invalid URL, DatabaseError
    if there is no database, or one that this release cannot read.
    """

    @overload
    def __call__(
        self, source: Source = None, *, chunksize: None = None, **options: Unpack[FrameOptions]
    ) -> pd.DataFrame: ...

    @overload
    def __call__(
        self, source: Source = None, *, chunksize: int, **options: Unpack[FrameOptions]
    ) -> Iterator[pd.DataFrame]: ...


def reads(selection: Selection) -> Callable[[Callable[[], None]], FrameFunction]:
    """Return a decorator that turns a function with only a docstring into one that reads a frame."""

    def decorate(documented: Callable[[], None]) -> FrameFunction:
        @functools.wraps(documented)
        def function(source: Source = None, **options: Any) -> Any:  # noqa: ANN401 (FrameFunction has the types)
            return read_frame(selection, source, **options)

        describe(function)
        return cast("FrameFunction", function)

    return decorate


def describe(function: Callable[..., Any], *first: inspect.Parameter, more: str = "") -> None:
    """
    Set the signature of `read_frame`, with other first parameters, and the common documentation.

    `help()`, Jupyter and IPython show these; type checkers and editors read `FrameFunction`.
    """
    signature = inspect.signature(read_frame)
    _, *common = signature.parameters.values()
    parts = (inspect.getdoc(function), more, inspect.getdoc(FrameFunction))
    function.__doc__ = "\n\n".join(part for part in parts if part)
    # inspect looks for it.
    function.__signature__ = signature.replace(parameters=[*first, *common])  # type: ignore[attr-defined]
