"""The public functions, one for each table, and `view`."""

from __future__ import annotations

import inspect
import textwrap
from typing import TYPE_CHECKING, Any, overload

from etl.frames.frame import read_frame
from etl.frames.selection import TABLE_SELECTIONS, VIEW_SELECTIONS
from etl.frames.signature import describe, reads
from etl.views.definitions import VIEWS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Unpack

    import pandas as pd

    from etl.frames.chunks import Source
    from etl.frames.signature import FrameOptions


@reads(TABLE_SELECTIONS["tasks"])
def tasks() -> None:
    """
    Return the tasks in their current state, one row per task, sorted by `task_id`.

    `since` and `until` compare `started_at`, or `first_seen_at` if the task has not started.

    `progress` is a percentage. `total_time_sec` is the processing time in seconds, not the length of the
    video by which Gcore bills. The task was created between `created_after` and `created_before`.
    `changed_at` is when a sync last saw the task change; `removed_at` is when one marked it as removed.
    `task_data` and `extra` are JSON.
    """


@reads(TABLE_SELECTIONS["task_history"])
def task_history() -> None:
    """
    Return the history events, one row per event, sorted by `history_id`, as syncs stored them.

    `since` and `until` compare `observed_at`.

    `event` is `discovered`, `changed` (in status or progress), `removed` or `reappeared`; `progress` and
    `previous_progress` are percentages.
    """


@reads(TABLE_SELECTIONS["task_results"])
def results() -> None:
    """
    Return the results, one row per task whose result was requested, sorted by `task_id`.

    `since` and `until` compare the task's `completed_at`, or `changed_at` if the API does not state it.

    `state` is `archived`, `unavailable` (not available yet) or `expired` (no longer available).
    `result`, the whole result, and `languages` are JSON.
    """


@reads(TABLE_SELECTIONS["subtitles"])
def subtitles() -> None:
    """
    Return the subtitles of all transcriptions, sorted by `task_id` and `position`, which starts at 0.

    `since` and `until` compare the task's `completed_at`, or `changed_at` if the API does not state it.

    `start_seconds` and `end_seconds` count from the start of the video.
    """


@reads(TABLE_SELECTIONS["detections"])
def detections() -> None:
    """
    Return the detections of content moderation, sorted by `task_id` and `position`, which starts at 0.

    `since` and `until` compare the task's `completed_at`, or `changed_at` if the API does not state it.

    A row is a detection: a video frame in which `label` was detected; `confidence` is between 0 and 1.
    """


@reads(TABLE_SELECTIONS["sync_runs"])
def runs() -> None:
    """
    Return the sync runs, one row per run, the oldest first.

    `since` and `until` compare `started_at`.

    After a run, all tasks created before `watermark_after`, by the server's clock, were stored.
    """


@overload
def view(
    name: str, source: Source = None, *, chunksize: None = None, **options: Unpack[FrameOptions]
) -> pd.DataFrame: ...


@overload
def view(
    name: str, source: Source = None, *, chunksize: int, **options: Unpack[FrameOptions]
) -> Iterator[pd.DataFrame]: ...


def view(name: str, source: Source = None, **options: Any) -> Any:
    """
    Return the rows of a view; `gcore-etl schema` describes the columns.

    The names of columns with a unit end with it; `day` is the first instant of that day in UTC. An unknown
    `name` is a ValueError.
    """
    selection = VIEW_SELECTIONS.get(name)
    if selection is None:
        raise ValueError(f"there is no view {name!r}: choose from {', '.join(VIEW_SELECTIONS)}")
    return read_frame(selection, source, **options)


def _views_with_times() -> str:
    """Return one line for each view: its time column, and what a row is."""
    lines = ["The views, with what `since` and `until` compare:", ""]
    for each in VIEWS.values():
        time = each.time or ("the task's completed_at or changed_at" if each.has_task_time else "nothing")
        line = f"{each.name} ({time}): {each.row}"
        lines += textwrap.wrap(line, width=106, initial_indent="  ", subsequent_indent="      ")
    return "\n".join(lines)


_NAME = inspect.Parameter("name", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation="str")
describe(view, _NAME, more=_views_with_times())
