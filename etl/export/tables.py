"""Export one table or view, filtered, to one file or to a folder of partitions."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
from typing import IO, TYPE_CHECKING, cast

import sqlalchemy as sa

from etl.catalog import ColumnType
from etl.errors import UnsuitableExport
from etl.export.excel import ExcelLosses, ExcelWriter
from etl.export.targets import open_folder, open_output, open_part
from etl.export.writers import CsvWriter, NdjsonWriter, ParquetWriter
from etl.frames.frame import read_frame
from etl.frames.selection import SELECTIONS, Day
from etl.models import RESULTS, TASKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pandas as pd

    from etl.export.writers import Writer
    from etl.frames.chunks import Source
    from etl.frames.selection import Selection
    from etl.frames.times import Instant

logger = logging.getLogger(__name__)

_WRITERS: dict[str, type[Writer]] = {"parquet": ParquetWriter, "csv": CsvWriter, "ndjson": NdjsonWriter}
FORMATS = tuple(_WRITERS)
PERIODS = {"day": "%Y-%m-%d", "month": "%Y-%m"}
# The partition of rows without a time. Not Hive's name for null, as which pandas cannot read one back.
NO_PERIOD = "unknown"
# About 20 MB for most tables. A row of task_results contains the transcript three times.
_CHUNK_ROWS = 10_000
_CHUNK_RESULTS = 200
_PARTITION_TIME = "__partition_time"


def export(  # noqa: PLR0913
    name: str,
    target: Path | None,
    *,
    source: Source = None,
    format: str | None = None,  # noqa: A002 - as the option is called
    since: Instant = None,
    until: Instant = None,
    task_name: str | None = None,
    status: str | None = None,
    partition_by: str | None = None,
    is_raw: bool = False,  # noqa: ARG001 - earlier releases escaped formulas without it
    excel_separator: str | None = None,
    may_replace: bool = False,
) -> int:
    """
    Write a table or view, and return the number of rows.

    `target` is a file, or with `partition_by` (`day`, `month`) a folder; None is the standard output.
    `format` defaults to the suffix of the file, and to NDJSON on the standard output. `since` and `until`
    compare the same times as in `etl.frames`; `task_name` and `status` compare the columns of the row, or
    of its task. Rows are sorted by primary key, or with `partition_by` by time. With `may_replace`, an
    existing export in the folder is replaced.

    Partitions are folders named `day=2026-06-26` or `month=2026-06`, and `day=unknown` for rows without a
    time. If the view itself has a column `day`, they are named `partition_day=2026-06-26`.

    CSV contains exactly the stored values. With an `excel_separator` (`,`, `;` or a tab) it is CSV for
    Excel: see `etl.export.excel`. Values that exceed the limits of Excel are logged as warnings. `is_raw`
    has no effect.

    Raises ExportError if the target cannot be written, for an invalid time, and for a filter or a period
    that the table does not support; DatabaseError if there is no database.
    """
    selection = _filtered(SELECTIONS[name], task_name, status)
    kind = format or _format_of(target, default="ndjson" if excel_separator is None else "csv")
    if excel_separator is not None and kind != "csv":
        raise UnsuitableExport(f"--excel writes CSV, not {kind}: omit it, or use --format csv")
    if partition_by is not None:
        selection = _sorted_by_time(selection)
    size = _CHUNK_RESULTS if name == RESULTS.name else _CHUNK_ROWS
    try:
        frames = cast(
            "Iterator[pd.DataFrame]",
            read_frame(selection, source, since=since, until=until, chunksize=size),
        )
    except ValueError as error:
        raise UnsuitableExport(str(error)) from error
    types = {each: kind for each, kind in selection.types.items() if each != _PARTITION_TIME}
    losses = ExcelLosses()
    start: Callable[[IO[bytes]], Writer] = functools.partial(_WRITERS[kind], types=types)
    if excel_separator is not None:
        start = functools.partial(ExcelWriter, types=types, separator=excel_separator, losses=losses)
    if partition_by is None:
        rows = _write_file(frames, target, start)
    elif target is None:
        raise UnsuitableExport("--partition-by writes a folder: name it with -o")
    else:
        with open_folder(target, may_replace=may_replace) as folder:
            rows = _write_parts(frames, folder, partition_by, kind, start)
    for warning in losses.warnings():
        logger.warning("%s", warning)
    return rows


def _format_of(target: Path | None, *, default: str) -> str:
    suffix = "" if target is None else target.suffix.lower().removeprefix(".")
    kind = {"jsonl": "ndjson", "json": "ndjson"}.get(suffix, suffix)
    if target is None or kind in FORMATS:
        return kind or default
    raise UnsuitableExport(
        f"the name {target} does not end with a format: choose one with --format ({', '.join(FORMATS)})"
    )


def _filtered(selection: Selection, task_name: str | None, status: str | None) -> Selection:
    """Return the selection of rows with this task type and status: their own, or those of their task."""
    conditions = []
    for column, value in (("task_name", task_name), ("status", status)):
        if value is None:
            continue
        if column in selection.columns:
            conditions.append(selection.columns[column] == value)
        elif "task_id" in selection.columns:
            ids = sa.select(TASKS.c.task_id).where(TASKS.c[column] == value)
            conditions.append(selection.columns["task_id"].in_(ids))
        else:
            raise UnsuitableExport(
                f"{selection.name} has no column {column} to filter: omit --{column.replace('_', '-')}"
            )
    # In a file, categories are text: without them their values need not be read first.
    return dataclasses.replace(selection, kinds=selection.types, conditions=tuple(conditions))


def _sorted_by_time(selection: Selection) -> Selection:
    if selection.time is None:
        raise UnsuitableExport(
            f"{selection.name} has no time column for --partition-by: {selection.why_no_time}"
        )
    is_day = isinstance(selection.time.type, Day)
    return dataclasses.replace(
        selection,
        columns={**selection.columns, _PARTITION_TIME: selection.time},
        kinds={**selection.kinds, _PARTITION_TIME: ColumnType.DAY if is_day else ColumnType.TIMESTAMP},
        order=(_PARTITION_TIME, *selection.order),
        # Always true; a selection with conditions selects from the table that has the time.
        conditions=(*selection.conditions, sa.true()),
    )


def _write_file(
    frames: Iterator[pd.DataFrame], target: Path | None, start: Callable[[IO[bytes]], Writer]
) -> int:
    rows = 0
    with open_output(target) as file:
        writer = start(file)
        for frame in frames:
            writer.write(frame)
            rows += len(frame)
        writer.close()
    return rows


def _write_parts(
    frames: Iterator[pd.DataFrame], folder: Path, period: str, kind: str, start: Callable[[IO[bytes]], Writer]
) -> int:
    """Write a file for each period. Rows are sorted by time, so that one file at a time is open."""
    rows, current = 0, None
    with contextlib.ExitStack() as stack:
        for frame in frames:
            # Readers turn the names of folders into a column, which must not also be a column of the files.
            key = f"partition_{period}" if period in frame else period
            periods = frame[_PARTITION_TIME].dt.strftime(PERIODS[period]).fillna(NO_PERIOD)
            # An export without rows is one file, which has the columns.
            for name, part in frame.groupby(periods, sort=False) if len(frame) else [(NO_PERIOD, frame)]:
                if name != current:
                    stack.close()
                    current = name
                    file = stack.enter_context(open_part(folder, f"{key}={name}", f"part-0.{kind}"))
                    writer = start(file)
                    stack.callback(writer.close)
                writer.write(part)
                rows += len(part)
    return rows
