"""
Tables and views as pandas frames, the same from SQLite as from Postgres.

    from etl import frames

    frames.tasks("sqlite:///gcore_tasks.db", since="2026-06-01", columns=["task_id", "status"])

Whatever the database, and also where a column or the whole frame is empty, the dtypes are

    an instant, in UTC            datetime64[us, UTC]
    a word out of few             category: the known words first, in their natural order
    other text                    string
    a whole number                Int64
    a number, a span in seconds   float64
    yes or no                     boolean
    JSON                          object: what json.loads gives

With `dtype_backend="numpy_nullable"` numbers are Float64, so that null is not NaN. With "pyarrow", which
takes the extra `export`, all but words out of few and JSON are the ArrowDtype of their kind.

Nothing is ever written, and a sync may run meanwhile: a frame, or all chunks of one, is of one instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

from etl.frames import catalog
from etl.frames.database_locator import find_database
from etl.frames.frame_reader import frame_reader, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from etl.frames.chunks import Source
    from etl.frames.dtypes import DtypeBackend
    from etl.frames.times import Instant

__all__ = ["detections", "find_database", "results", "runs", "subtitles", "task_history", "tasks", "view"]


@frame_reader
def tasks(
    source: Source = None,
    *,
    since: Instant = None,
    until: Instant = None,
    columns: Sequence[str] | None = None,
    chunksize: int | None = None,
    dtype_backend: DtypeBackend | None = None,
) -> pd.DataFrame | Iterator[pd.DataFrame]:
    """
    One row a task, its present state, sorted by `task_id`.

    `source` is a database URL, or a SQLAlchemy engine or connection, which stays open; without one,
    GCORE_ETL_DATABASE_URL says where.
    `since` and `until` cut a range out, the first included, the second not: datetimes, dates or ISO 8601
    text in any time zone, in UTC where none is named. They compare `started_at`, or `first_seen_at` of a
    task that has not started. Only `columns`, in that order, are read from the database. With `chunksize`
    there is an iterator of frames of so many rows; put together, they are the whole frame. It opens the
    database at its first frame, of which there is always one, and closes it behind the last.

    `progress` is in per cent. `total_time_sec` is how long processing took, in seconds; it is not the length
    of the video, by which Gcore bills. `created_after` and `created_before` are bounds
    between which the task was created. `changed_at` is when a sync last saw anything about it change,
    `removed_at` when one saw that it is gone at the source. `task_data` and `extra` are JSON.

    Raises ValueError for a column, a time, a chunk size or a backend that cannot be, ImportError where
    pyarrow is asked for and missing, TypeError for a source that is none; and of `etl.errors`
    ConfigurationError for a URL that cannot work, DatabaseError if there is no database, or none that this
    release can read.
    """
    return read(
        catalog.TASKS,
        source,
        since=since,
        until=until,
        columns=columns,
        chunksize=chunksize,
        dtype_backend=dtype_backend,
    )


@frame_reader
def task_history(
    source: Source = None,
    *,
    since: Instant = None,
    until: Instant = None,
    columns: Sequence[str] | None = None,
    chunksize: int | None = None,
    dtype_backend: DtypeBackend | None = None,
) -> pd.DataFrame | Iterator[pd.DataFrame]:
    """
    One row a change of status or progress that a sync saw, and a coming and going, in the order seen.

    `event` is `discovered`, `changed`, `removed` or `reappeared`; `progress` and `previous_progress` are in
    per cent. `since` and `until` compare `observed_at`. The other arguments and the errors: see `tasks`.
    """
    return read(
        catalog.TASK_HISTORY,
        source,
        since=since,
        until=until,
        columns=columns,
        chunksize=chunksize,
        dtype_backend=dtype_backend,
    )


@frame_reader
def results(
    source: Source = None,
    *,
    since: Instant = None,
    until: Instant = None,
    columns: Sequence[str] | None = None,
    chunksize: int | None = None,
    dtype_backend: DtypeBackend | None = None,
) -> pd.DataFrame | Iterator[pd.DataFrame]:
    """
    One row a task in SUCCESS or FAILURE, with its result, sorted by `task_id`.

    `state` is `archived`, `unavailable` (not there yet) or `expired` (lost). `result`, whole, and
    `languages` are JSON. `since` and `until` compare when the task was completed, or if the API does not
    say, when it last changed. The other arguments and the errors: see `tasks`.
    """
    return read(
        catalog.RESULTS,
        source,
        since=since,
        until=until,
        columns=columns,
        chunksize=chunksize,
        dtype_backend=dtype_backend,
    )


@frame_reader
def subtitles(
    source: Source = None,
    *,
    since: Instant = None,
    until: Instant = None,
    columns: Sequence[str] | None = None,
    chunksize: int | None = None,
    dtype_backend: DtypeBackend | None = None,
) -> pd.DataFrame | Iterator[pd.DataFrame]:
    """
    One row a subtitle of a transcription, sorted by `task_id` and `position`, which counts from 0.

    `start_seconds` and `end_seconds` go from the start of the video. `since` and `until` compare when the
    task was completed, or if the API does not say, when it last changed. The other arguments and the
    errors: see `tasks`.
    """
    return read(
        catalog.SUBTITLES,
        source,
        since=since,
        until=until,
        columns=columns,
        chunksize=chunksize,
        dtype_backend=dtype_backend,
    )


@frame_reader
def detections(
    source: Source = None,
    *,
    since: Instant = None,
    until: Instant = None,
    columns: Sequence[str] | None = None,
    chunksize: int | None = None,
    dtype_backend: DtypeBackend | None = None,
) -> pd.DataFrame | Iterator[pd.DataFrame]:
    """
    One row a frame in which a moderation found something, sorted by `task_id` and `position`, from 0.

    `confidence` is between 0 and 1. `since` and `until` compare when the task was completed, or if the API
    does not say, when it last changed. The other arguments and the errors: see `tasks`.
    """
    return read(
        catalog.DETECTIONS,
        source,
        since=since,
        until=until,
        columns=columns,
        chunksize=chunksize,
        dtype_backend=dtype_backend,
    )


@frame_reader
def runs(
    source: Source = None,
    *,
    since: Instant = None,
    until: Instant = None,
    columns: Sequence[str] | None = None,
    chunksize: int | None = None,
    dtype_backend: DtypeBackend | None = None,
) -> pd.DataFrame | Iterator[pd.DataFrame]:
    """
    One row a sync, the first one first, with what it did.

    `watermark_after` is up to when, by the server's clock, the copy was complete after it. `since` and
    `until` compare `started_at`. The other arguments and the errors: see `tasks`.
    """
    return read(
        catalog.RUNS,
        source,
        since=since,
        until=until,
        columns=columns,
        chunksize=chunksize,
        dtype_backend=dtype_backend,
    )


@overload
def view(
    name: str,
    source: Source = None,
    *,
    since: Instant = None,
    until: Instant = None,
    columns: Sequence[str] | None = None,
    chunksize: None = None,
    dtype_backend: DtypeBackend | None = None,
) -> pd.DataFrame: ...


@overload
def view(
    name: str,
    source: Source = None,
    *,
    since: Instant = None,
    until: Instant = None,
    columns: Sequence[str] | None = None,
    chunksize: int,
    dtype_backend: DtypeBackend | None = None,
) -> Iterator[pd.DataFrame]: ...


def view(
    name: str,
    source: Source = None,
    *,
    since: Instant = None,
    until: Instant = None,
    columns: Sequence[str] | None = None,
    chunksize: int | None = None,
    dtype_backend: DtypeBackend | None = None,
) -> pd.DataFrame | Iterator[pd.DataFrame]:
    """
    Read one of the views; what is in them, the files in `etl/views` say.

    Spans are in the unit their name ends with; `day` is the midnight, in UTC, at which the day begins.
    `since` and `until` compare `created_at` of `task_timeline`, `in_flight` and `stalls`, `day` of
    `task_daily`, `outcomes` and `minutes_daily`, `valid_from` of `status_spans`, `last_at` of `retries` and
    `failure_kinds`, `failed_at` of `failures` and `completed_at` of `results_expiring`; the other views have
    no time. A row in which it is null lies in no range. The other arguments and the
    errors: see `tasks`; the name of no view is a ValueError as well.
    """
    relation = catalog.VIEWS.get(name)
    if relation is None:
        raise ValueError(f"there is no view {name!r}: there are {', '.join(catalog.VIEWS)}")
    return read(
        relation,
        source,
        since=since,
        until=until,
        columns=columns,
        chunksize=chunksize,
        dtype_backend=dtype_backend,
    )
