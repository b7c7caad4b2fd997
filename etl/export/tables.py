"""One table or view, cut to what is asked for, into one file or a folder of them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
from typing import IO, TYPE_CHECKING, cast

import sqlalchemy as sa

from etl.errors import UnsuitableExport
from etl.export.excel import ExcelLosses, ExcelWriter
from etl.export.targets import open_folder, open_output, open_part
from etl.export.writers import CsvWriter, NdjsonWriter, ParquetWriter
from etl.frames import catalog
from etl.frames.frame_reader import read
from etl.models import RESULTS, TASKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pandas as pd

    from etl.export.columns import Types
    from etl.export.writers import Writer
    from etl.frames.catalog import Relation
    from etl.frames.chunks import Source
    from etl.frames.times import Instant

logger = logging.getLogger(__name__)

_TABLES = (
    *(catalog.TASKS, catalog.TASK_HISTORY, catalog.RESULTS),
    *(catalog.SUBTITLES, catalog.DETECTIONS, catalog.RUNS),
)
RELATIONS = {relation.name: relation for relation in _TABLES} | catalog.VIEWS
FORMATS = ("parquet", "csv", "ndjson")
PERIODS = {"day": "%Y-%m-%d", "month": "%Y-%m"}
# Where rows go that have no time. Not Hive's name for null: pandas cannot read a null there.
NOWHEN = "unknown"
# Of most tables these are some 20 MB. A result is a whole transcript, three times over.
_ROWS_AT_ONCE = 10_000
_RESULTS_AT_ONCE = 200
_AT = "__partition_at"


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
    is_raw: bool = False,  # noqa: ARG001 - CSV is always exact; it once was not
    excel_separator: str | None = None,
    may_replace: bool = False,
) -> int:
    """
    Write a table or view, and give the number of its rows.

    `target` is a file, or with `partition_by` (`day`, `month`) a folder; without it, the rows go to the
    standard output. `format` is that of the file's name if not given, NDJSON if there is none. `since` and
    `until` compare what the frames of `etl.frames` compare; `task_name` and `status` those of the row, or of
    its task. Rows come in the order of the primary key, or with `partition_by` in the order of time. With
    `may_replace` an export there gives way.

    The folders of partitions are named `day=2026-06-26` or `month=2026-06`, and `day=unknown` for rows
    without a time. Where the view has a column `day` itself, they are named `partition_day=2026-06-26`.

    CSV holds exactly what is stored. With an `excel_separator` (`,`, `;` or a tab) it is CSV for Excel: see
    `etl.export.excel`. The log warns of what does not fit into Excel. `is_raw` has no effect.

    Raises ExportError for what cannot be written, for times that make no sense, and for a filter or a period
    that the table has not; DatabaseError where there is no database.
    """
    relation = _narrowed(RELATIONS[name], task_name, status)
    kind = format or _format_of(target, default="ndjson" if excel_separator is None else "csv")
    if excel_separator is not None and kind != "csv":
        raise UnsuitableExport(f"--excel is for CSV, not for {kind}: leave it out, or write --format csv")
    if partition_by is not None:
        relation = _timed(relation)
    size = _RESULTS_AT_ONCE if name == RESULTS.name else _ROWS_AT_ONCE
    try:
        frames = cast(
            "Iterator[pd.DataFrame]",
            read(relation, source, since=since, until=until, columns=None, chunksize=size),
        )
    except ValueError as error:
        raise UnsuitableExport(str(error)) from error
    types = {each: column.type for each, column in relation.columns.items() if each != _AT}
    losses = ExcelLosses()
    start = functools.partial(_start, types=types, kind=kind, excel_separator=excel_separator, losses=losses)
    if partition_by is None:
        rows = _write_file(frames, target, start)
    elif target is None:
        raise UnsuitableExport("--partition-by makes a folder: name it with -o")
    else:
        with open_folder(target, may_replace=may_replace) as folder:
            rows = _write_parts(frames, folder, partition_by, kind, start)
    for warning in losses.warnings():
        logger.warning("%s", warning)
    return rows


def _start(
    file: IO[bytes], *, types: Types, kind: str, excel_separator: str | None, losses: ExcelLosses
) -> Writer:
    """Return what writes a file of this kind."""
    if excel_separator is not None:
        return ExcelWriter(file, types, separator=excel_separator, losses=losses)
    if kind == "csv":
        return CsvWriter(file, types)
    return ParquetWriter(file, types) if kind == "parquet" else NdjsonWriter(file, types)


def _format_of(target: Path | None, *, default: str) -> str:
    suffix = "" if target is None else target.suffix.lower().removeprefix(".")
    kind = {"jsonl": "ndjson", "json": "ndjson"}.get(suffix, suffix)
    if target is None or kind in FORMATS:
        return kind or default
    raise UnsuitableExport(
        f"{target} does not say which format: name one with --format ({', '.join(FORMATS)})"
    )


def _narrowed(relation: Relation, task_name: str | None, status: str | None) -> Relation:
    """Keep what belongs to one type and status: by its own column, or by its task's."""
    conditions = []
    for column, value in (("task_name", task_name), ("status", status)):
        if value is None:
            continue
        if column in relation.columns:
            conditions.append(relation.columns[column] == value)
        elif "task_id" in relation.columns:
            ids = sa.select(TASKS.c.task_id).where(TASKS.c[column] == value)
            conditions.append(relation.columns["task_id"].in_(ids))
        else:
            raise UnsuitableExport(f"{relation.name} has no {column}, so that none can be chosen")
    # Words are text in a file: nobody has to look up which there are.
    return dataclasses.replace(relation, enumerations={}, conditions=tuple(conditions))


def _timed(relation: Relation) -> Relation:
    if relation.time is None:
        raise UnsuitableExport(f"{relation.name} has no time, and so no days or months")
    columns = {**relation.columns, _AT: relation.time}
    # The condition is none; it says that the time is needed, which may be another table's.
    conditions = (*relation.conditions, sa.true())
    return dataclasses.replace(relation, columns=columns, order=(_AT, *relation.order), conditions=conditions)


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
    """Write a file for each period; rows come in the order of time, so that one is open at a time."""
    rows, now = 0, None
    with contextlib.ExitStack() as stack:
        for frame in frames:
            # What readers take from the names of folders must not be a column of the files, too.
            key = f"partition_{period}" if period in frame else period
            periods = frame[_AT].dt.strftime(PERIODS[period]).fillna(NOWHEN)
            # Without any row there is one file all the same: it has the columns.
            for name, part in frame.groupby(periods, sort=False) if len(frame) else [(NOWHEN, frame)]:
                if name != now:
                    stack.close()
                    now = name
                    file = stack.enter_context(open_part(folder, f"{key}={name}", f"part-0.{kind}"))
                    writer = start(file)
                    stack.callback(writer.close)
                writer.write(part)
                rows += len(part)
    return rows
