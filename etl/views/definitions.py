"""
The catalog of views: one entry for each `.sql` file in this folder.

`gcore-etl schema`, frames, export, the explorer and the database take from here what a row is. The columns
are those of the query; `etl.catalog` adds their types. This imports nothing heavy, because the command line
reads it to print its help.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from etl.queries import read_sql


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """
    A view for analysts; its query and its description are in the `.sql` file of the same name.

    `introduced_in` is a schema revision. `order` makes exports and frames reproducible.

    `time` is the column that `since=` and `until=` compare. A view without one may still have
    `has_task_time`: then they compare when the task was completed. A view with neither summarizes the whole
    history, and `unaggregated` is the view to filter instead.
    """

    name: str
    introduced_in: str
    order: tuple[str, ...]
    time: str | None = None
    has_task_time: bool = False
    unaggregated: str | None = None

    @property
    def description(self) -> str:
        """What a row is, and the units: what `gcore-etl schema`, the database and the explorer show."""
        return " ".join(read_file(self.name)[0])

    @property
    def row(self) -> str:
        """What a row is: the first sentence of the description."""
        return self.description.partition(". ")[0].rstrip(".") + "."


def read_file(name: str) -> tuple[list[str], dict[str, str]]:
    """Return the lines of the comment in a `.sql` file of this folder, and its query for each database."""
    return read_sql(Path(__file__).with_name(f"{name}.sql"))


# In the order of creation: a view may read the views before it.
_VIEWS = (
    View(name="task_timeline", introduced_in="0003", order=("task_id",), time="created_at"),
    View(name="task_daily", introduced_in="0003", order=("day", "task_name", "status"), time="day"),
    View(
        name="task_durations",
        introduced_in="0003",
        order=("task_name", "category"),
        unaggregated="task_timeline",
    ),
    View(
        name="task_waits", introduced_in="0007", order=("task_name", "category"), unaggregated="task_timeline"
    ),
    View(
        name="outcomes",
        introduced_in="0007",
        order=("day", "task_name", "category", "audio_language", "host"),
        time="day",
    ),
    View(name="minutes_daily", introduced_in="0007", order=("day", "task_name", "category"), time="day"),
    View(name="video_lengths", introduced_in="0009", order=("task_id",), has_task_time=True),
    View(name="status_spans", introduced_in="0003", order=("history_id",), time="valid_from"),
    View(
        name="status_transitions",
        introduced_in="0003",
        order=("from_status", "to_status"),
        unaggregated="status_spans",
    ),
    View(name="retries", introduced_in="0007", order=("task_id",), time="last_at"),
    View(name="failures", introduced_in="0003", order=("failed_at", "task_id"), time="failed_at"),
    View(
        name="failure_kinds",
        introduced_in="0007",
        order=("task_name", "category", "error_kind"),
        time="last_at",
    ),
    View(name="in_flight", introduced_in="0003", order=("task_id",), time="created_at"),
    View(name="stalls", introduced_in="0007", order=("task_id",), time="created_at"),
    View(name="results_expiring", introduced_in="0003", order=("expires_at", "task_id"), time="completed_at"),
    View(name="freshness", introduced_in="0007", order=("synced_at",), time="synced_at"),
)
VIEWS = {view.name: view for view in _VIEWS}
