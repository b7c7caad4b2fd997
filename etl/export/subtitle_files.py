"""Export a subtitle file for each transcript, under a name that every file system accepts."""

from __future__ import annotations

import hashlib
import itertools
import logging
import operator
import re
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from etl.errors import ExportError
from etl.export.targets import open_output
from etl.files import make_folder
from etl.frames.chunks import connected
from etl.load.dialect import is_any_of
from etl.load.subtitle_formats import as_srt, as_webvtt, has_subtitles, srt_of_webvtt
from etl.models import RESULTS, SUBTITLES, TASKS, ResultState
from etl.text import counted

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator
    from pathlib import Path

    from etl.frames.chunks import Source

logger = logging.getLogger(__name__)

SUBTITLE_FORMATS = ("vtt", "srt")
_CHUNK_RESULTS = 100
# Lower case only: on some file systems, ids that differ only in case would be the same file.
_SAFE = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)")


def export_subtitles(  # noqa: PLR0913
    folder: Path,
    kind: str,
    *,
    source: Source = None,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    task_name: str | None = None,
    status: str | None = None,
) -> int:
    """
    Write a file for each archived transcript, replacing files of the same name, and return their number.

    `kind` is `srt`, or `vtt`, which is the text received from the API if that contains any subtitles.
    Transcripts without speech or without times get no file; their number is logged. `since` and `until`
    compare the time when the task was completed. Raises ExportError if a file cannot be written.
    """
    try:
        make_folder(folder)
    except OSError as error:
        raise ExportError(f"cannot create the folder {folder}: {error.strerror}") from error
    finished = sa.func.coalesce(TASKS.c.completed_at, TASKS.c.changed_at, type_=TASKS.c.completed_at.type)
    conditions = [
        *([] if since is None else [finished >= since]),
        *([] if until is None else [finished < until]),
        *([] if task_name is None else [TASKS.c.task_name == task_name]),
        *([] if status is None else [TASKS.c.status == status]),
    ]
    written = skipped = 0
    with connected(source) as connection:
        for task_id, vtt, subtitles in _iter_transcripts(connection, conditions):
            text = _as_vtt(vtt, subtitles) if kind == "vtt" else _as_srt(vtt, subtitles)
            if not text:
                skipped += 1
                continue
            with open_output(folder / f"{file_name(task_id)}.{kind}") as file:
                file.write(text.encode())
            written += 1
    if skipped:
        what = counted(skipped, "transcript that has", plural="transcripts that have")
        logger.warning("skipped %s no speech, or no times", what)
    return written


def _as_vtt(vtt: str | None, subtitles: list[Any]) -> str:
    if vtt is not None and has_subtitles(vtt):
        return vtt
    made = as_webvtt(subtitles)
    return made if has_subtitles(made) else ""


def _as_srt(vtt: str | None, subtitles: list[Any]) -> str:
    return as_srt(subtitles) or ("" if vtt is None else srt_of_webvtt(vtt))


def file_name(task_id: str) -> str:
    """Return a file name that is valid everywhere: the id of the task if possible, else a slug and a hash."""
    if _SAFE.fullmatch(task_id) and not _RESERVED.fullmatch(task_id):
        return task_id
    slug = re.sub(r"[^a-z0-9]+", "-", task_id.lower()).strip("-")[:40]
    return f"{slug or 'task'}-{hashlib.blake2b(task_id.encode(), digest_size=8).hexdigest()}"


def _iter_transcripts(
    connection: sa.Connection, conditions: list[sa.ColumnElement[bool]]
) -> Iterator[tuple[str, str | None, list[Any]]]:
    """
    Yield the id, the WebVTT and the subtitles of each transcript, reading a few results at a time.

    The query does not filter by state: SQLite would then use the index on it, and sort all results each time.
    """
    last = ""
    has_text = RESULTS.c.text.is_not(None).label("has_text")
    query = (
        sa.select(RESULTS.c.task_id, RESULTS.c.state, RESULTS.c.vtt, has_text)
        .join(TASKS, TASKS.c.task_id == RESULTS.c.task_id)
        .where(*conditions)
        .order_by(RESULTS.c.task_id)
        .limit(_CHUNK_RESULTS)
    )
    while found := connection.execute(query.where(RESULTS.c.task_id > last)).all():
        last = found[-1].task_id
        lines = (
            sa.select(SUBTITLES)
            .where(is_any_of(connection, SUBTITLES.c.task_id, [row.task_id for row in found]))
            .order_by(*SUBTITLES.primary_key)
        )
        rows = itertools.groupby(connection.execute(lines).all(), operator.attrgetter("task_id"))
        subtitles = {task_id: list(each) for task_id, each in rows}
        for row in found:
            has_transcript = row.vtt is not None or row.has_text or row.task_id in subtitles
            if has_transcript and row.state == ResultState.ARCHIVED:
                yield row.task_id, row.vtt, subtitles.get(row.task_id, [])
