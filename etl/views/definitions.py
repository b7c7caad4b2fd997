"""
The catalog of views: one entry for each `.sql` file in this folder.

`gcore-etl schema`, frames, export, the explorer and the database take from here what a row is. The columns
are those of the query; `etl.catalog` adds their types. This imports nothing heavy, because the command line
reads it to print its help.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """
    A view for analysts; its query is the `.sql` file of the same name.

    `row` says what a row is, `notes` the units and the rest. `introduced_in` is a schema revision. `order`
    makes exports and frames reproducible.

    `time` is the column that `since=` and `until=` compare. A view without one may still have
    `has_task_time`: then they compare when the task was completed. A view with neither summarizes the whole
    history, and `unaggregated` is the view to filter instead.
    """

    name: str
    row: str
    notes: str = ""
    introduced_in: str
    order: tuple[str, ...]
    time: str | None = None
    has_task_time: bool = False
    unaggregated: str | None = None

    @property
    def description(self) -> str:
        """What `gcore-etl schema`, the database and the explorer show about the view."""
        return f"{self.row} {self.notes}".rstrip()


_INTERPOLATION = "Percentiles are interpolated linearly, as by percentile_cont and NumPy."

# In the order of creation: a view may read the views before it.
_VIEWS = (
    View(
        name="task_timeline",
        row="One row per task: when it was created, how long it waited and how long it ran.",
        notes=(
            "Timestamps are in UTC, spans in seconds. created_at is the time the API states; otherwise "
            "the middle of the interval in which the task must have been created, else the one known "
            "bound, else started_at. created_error_seconds is the maximum error of created_at: 0 if the "
            "API states it, half the interval if both bounds are known, otherwise null. wait_seconds is "
            "the time from created_at to started_at; null if created_error_seconds is null or the "
            "difference is negative. duration_seconds is the figure of the API, otherwise the time from "
            "started_at to completed_at. removed_at is when a sync found that the task was removed at the "
            "source."
        ),
        introduced_in="0003",
        order=("task_id",),
        time="created_at",
    ),
    View(
        name="task_daily",
        row="One row per day (UTC), task type and status: the tasks created on that day.",
        notes=(
            "The day is that of task_timeline.created_at, as text 'YYYY-MM-DD'; null if the creation time is "
            "unknown. total_seconds is the total processing time, 0 if no task has run."
        ),
        introduced_in="0003",
        order=("day", "task_name", "status"),
        time="day",
    ),
    View(
        name="task_durations",
        row="One row per task type (task_name and category): how long its tasks ran, in seconds.",
        notes=f"Includes every task with a known duration, whatever its status. {_INTERPOLATION}",
        introduced_in="0003",
        order=("task_name", "category"),
        unaggregated="task_timeline",
    ),
    View(
        name="task_waits",
        row=(
            "One row per task type (task_name and category): how long its tasks waited from creation to "
            "start, in seconds."
        ),
        notes=(
            "The creation time is task_timeline.created_at. Includes every task with a known wait, "
            f"whatever its status. {_INTERPOLATION}"
        ),
        introduced_in="0007",
        order=("task_name", "category"),
        unaggregated="task_timeline",
    ),
    View(
        name="outcomes",
        row=(
            "One row per day (UTC), task type, category, language and host: how many tasks finished on "
            "that day, and how they ended."
        ),
        notes=(
            "The day is that of completed_at, otherwise of changed_at, as text 'YYYY-MM-DD'. host is the "
            "host of the video's URL in lower case, without port and credentials; null if the URL has "
            "none. success_rate is succeeded / (succeeded + failed), from 0 to 1; null if all tasks were "
            "revoked."
        ),
        introduced_in="0007",
        order=("day", "task_name", "category", "audio_language", "host"),
        time="day",
    ),
    View(
        name="minutes_daily",
        row=(
            "One row per day (UTC), task type and category: the processing time, in minutes, of the tasks "
            "that finished on that day."
        ),
        notes=(
            "succeeded_minutes counts successful tasks only. Gcore bills by the length of the analysed video "
            "instead, which the API does not state; video_lengths has a lower bound. The day is that of "
            "completed_at, otherwise of changed_at, as text 'YYYY-MM-DD'."
        ),
        introduced_in="0007",
        order=("day", "task_name", "category"),
        time="day",
    ),
    View(
        name="video_lengths",
        row=(
            "One row per transcription with subtitles: a lower bound for the length of its video, in "
            "seconds: the end of its last subtitle."
        ),
        notes=(
            "Gcore bills by the length of the analysed video, which neither the API nor this database states."
        ),
        introduced_in="0009",
        order=("task_id",),
        has_task_time=True,
    ),
    View(
        name="status_spans",
        row="One row per interval during which a task kept one status, as observed by the syncs.",
        notes=(
            "Timestamps are in UTC; valid_from is inclusive, valid_to exclusive. valid_to and seconds are "
            "null while the task still has the status. An interval also ends when the task is removed at "
            "the source. A change of progress does not end it. history_id is the row of task_history "
            "that opened the interval; it orders the intervals of a task."
        ),
        introduced_in="0003",
        order=("history_id",),
        time="valid_from",
    ),
    View(
        name="status_transitions",
        row=(
            "One row per pair of statuses: how often tasks changed from one to the other, how many tasks "
            "did, and how long they had kept the first on average, in seconds."
        ),
        notes="If a task was removed at the source and reappeared, that is not a transition.",
        introduced_in="0003",
        order=("from_status", "to_status"),
        unaggregated="status_spans",
    ),
    View(
        name="retries",
        row="One row per task that was restarted, as observed by the syncs.",
        notes=(
            "retried is how often it changed to RETRY; fell_back how often it returned to PENDING or "
            "RECEIVED from STARTED or RETRY. last_at (UTC) is when the last of these was observed; status "
            "is the present status."
        ),
        introduced_in="0007",
        order=("task_id",),
        time="last_at",
    ),
    View(
        name="failures",
        row="One row per task in FAILURE, with the error from its result and the video's URL.",
        notes=(
            "error is null if the result was not fetched. failed_at (UTC) is completed_at, otherwise "
            "changed_at."
        ),
        introduced_in="0003",
        order=("failed_at", "task_id"),
        time="failed_at",
    ),
    View(
        name="failure_kinds",
        row=(
            "One row per task type, category and kind of error: how many tasks failed with it, and the "
            "first and last time (UTC)."
        ),
        notes=(
            "The kind is the text before the first colon, at most 80 characters, because the rest often "
            "names a file or a size. Null if no error is known."
        ),
        introduced_in="0007",
        order=("task_name", "category", "error_kind"),
        time="last_at",
    ),
    View(
        name="in_flight",
        row="One row per task in flight: not in a terminal status, and not removed at the source.",
        notes=(
            "Timestamps are in UTC, spans in seconds until now. age_seconds is the time since "
            "task_timeline.created_at, otherwise since a sync first saw the task; unchanged_seconds the time "
            "since a sync last saw the task change."
        ),
        introduced_in="0003",
        order=("task_id",),
        time="created_at",
    ),
    View(
        name="stalls",
        row="One row per task in flight that no sync has seen change for at least an hour.",
        notes=(
            "Spans are in seconds until now. usual_seconds is the 95th percentile of the durations of its "
            "task type; null if none is known."
        ),
        introduced_in="0007",
        order=("task_id",),
        time="created_at",
    ),
    View(
        name="results_expiring",
        row=(
            "One row per task in SUCCESS or FAILURE, including removed ones, whose result is neither "
            "archived nor expired."
        ),
        notes=(
            "The API keeps a result for 30 days after completed_at, until expires_at. days_left counts "
            "from now and is negative once that has passed. state is null if the result was never "
            "requested."
        ),
        introduced_in="0003",
        order=("expires_at", "task_id"),
        time="completed_at",
    ),
    View(
        name="freshness",
        row="One row: how fresh the copy is.",
        notes=(
            "Timestamps are in UTC, spans in seconds until now. synced_at is the start of the last "
            "incremental or full sync that succeeded; all tasks up to watermark are stored; last_full_at "
            "is the time of the last complete scan, which finds removed tasks. failed_since is the number "
            "of syncs that failed after synced_at."
        ),
        introduced_in="0007",
        order=("synced_at",),
        time="synced_at",
    ),
)
VIEWS = {view.name: view for view in _VIEWS}
