"""The tables and views that can be read, each with its order, its time and its enumerations."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from etl.frames.dtypes import Day
from etl.models import METADATA, UtcDateTime

if TYPE_CHECKING:
    from collections.abc import Mapping

_TABLES = METADATA.tables
_TASKS, _HISTORY, _RESULTS, _RUNS = (
    _TABLES[name] for name in ("tasks", "task_history", "task_results", "sync_runs")
)


@dataclasses.dataclass(frozen=True, slots=True)
class Enumeration:
    """Text with few values: those that are known, and what else the columns hold that are its home."""

    known: tuple[str, ...]
    home: tuple[sa.Column[Any], ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """
    One table or view. `timed` is what to select from in order to compare `time`.

    Only rows that meet all `conditions` are read.
    """

    name: str
    columns: Mapping[str, sa.ColumnElement[Any]]
    enumerations: Mapping[str, Enumeration]
    order: tuple[str, ...]
    time: sa.ColumnElement[Any] | None
    timed: sa.FromClause
    conditions: tuple[sa.ColumnElement[bool], ...] = ()


_STATUS = ("RECEIVED", "PENDING", "STARTED", "RETRY", "SUCCESS", "FAILURE", "REVOKED")
_CATEGORIES = ("nsfw", "soft_nudity", "hard_nudity", "sport")
_OF_TASKS = {
    "task_name": Enumeration(("transcription", "content-moderation"), (_TASKS.c.task_name,)),
    "status": Enumeration(_STATUS, (_TASKS.c.status,)),
    "category": Enumeration(_CATEGORIES, (_TASKS.c.category,)),
    "audio_language": Enumeration((), (_TASKS.c.audio_language,)),
    "subtitles_language": Enumeration((), (_TASKS.c.subtitles_language,)),
}
# One enumeration for both, so that pandas can compare them.
_OBSERVED_STATUS = Enumeration(_STATUS, (_HISTORY.c.status, _HISTORY.c.previous_status))
_OF_HISTORY = {
    "event": Enumeration(("discovered", "changed", "removed", "reappeared"), (_HISTORY.c.event,)),
    "status": _OBSERVED_STATUS,
    "previous_status": _OBSERVED_STATUS,
    "from_status": _OBSERVED_STATUS,
    "to_status": _OBSERVED_STATUS,
}
_OF_RESULTS = {
    "state": Enumeration(("archived", "unavailable", "expired"), (_RESULTS.c.state,)),
    "kind": Enumeration(("transcription", *_CATEGORIES, "failure"), (_RESULTS.c.kind,)),
}
_OF_DETECTIONS = {"label": Enumeration((), (_TABLES["detections"].c.label,))}
_OF_RUNS = {
    "mode": Enumeration(("incremental", "full", "since", "partial"), (_RUNS.c.mode,)),
    "status": Enumeration(("running", "succeeded", "failed", "interrupted"), (_RUNS.c.status,)),
}

_INSTANTS = [
    "created_at",
    "expires_at",
    "failed_at",
    "first_at",
    "last_at",
    "synced_at",
    "valid_from",
    "valid_to",
]
_COUNTS = [
    "n",
    "tasks",
    "lines",
    "transitions",
    "finished",
    "succeeded",
    "failed",
    "revoked",
    "retried",
    "fell_back",
    "failed_since",
]

# A column has one type, wherever its name turns up; these are in no table.
_TYPES = {
    **{column.name: column.type for table in _TABLES.values() for column in table.columns},
    **dict.fromkeys(_INSTANTS, UtcDateTime()),
    **dict.fromkeys(_COUNTS, sa.BigInteger()),
    **dict.fromkeys(("from_status", "to_status", "host", "error_kind"), sa.Text()),
    "day": Day(),
}


def _table(
    name: str,
    enumerations: Mapping[str, Enumeration],
    time: sa.ColumnElement[Any],
    timed: sa.FromClause | None = None,
) -> Relation:
    table = _TABLES[name]
    # A hash of the raw record says nothing to anybody but the sync.
    columns = {column.name: column for column in table.columns if not column.info.get("is_internal")}
    return Relation(
        name=name,
        columns=columns,
        enumerations={name: enumerations[name] for name in columns if name in enumerations},
        order=tuple(column.name for column in table.primary_key),
        time=time,
        timed=table if timed is None else timed,
    )


def _of_a_task(name: str, enumerations: Mapping[str, Enumeration]) -> Relation:
    """Describe a table that has no time of its own, but that of the task it belongs to."""
    table = _TABLES[name]
    completed = sa.func.coalesce(_TASKS.c.completed_at, _TASKS.c.changed_at, type_=UtcDateTime())
    return _table(name, enumerations, completed, table.join(_TASKS, _TASKS.c.task_id == table.c.task_id))


def _view(
    name: str, names: str, *, order: str, time: str | None, enumerations: Mapping[str, Enumeration]
) -> Relation:
    """Describe a view; what is neither in a table nor in `_TYPES` is a span, in seconds or days."""
    view = sa.table(name, *(sa.column(each, _TYPES.get(each, sa.Double())) for each in names.split()))
    return Relation(
        name=name,
        columns=dict(view.c.items()),
        enumerations={each: enumerations[each] for each in names.split() if each in enumerations},
        order=tuple(order.split()),
        time=None if time is None else view.c[time],
        timed=view,
    )


TASKS = _table(
    "tasks",
    _OF_TASKS,
    sa.func.coalesce(_TASKS.c.started_at, _TASKS.c.first_seen_at, type_=UtcDateTime()),
)
TASK_HISTORY = _table("task_history", _OF_HISTORY, _HISTORY.c.observed_at)
RESULTS = _of_a_task("task_results", _OF_RESULTS)
SUBTITLES = _of_a_task("subtitles", {})
DETECTIONS = _of_a_task("detections", _OF_DETECTIONS)
RUNS = _table("sync_runs", _OF_RUNS, _RUNS.c.started_at)

_LISTED = (
    _view(
        "task_timeline",
        "task_id task_name category status created_at created_error_seconds started_at completed_at"
        " wait_seconds duration_seconds removed_at",
        order="task_id",
        time="created_at",
        enumerations=_OF_TASKS,
    ),
    _view(
        "task_daily",
        "day task_name status tasks total_seconds",
        order="day task_name status",
        time="day",
        enumerations=_OF_TASKS,
    ),
    _view(
        "task_durations",
        "task_name category n mean_seconds p50_seconds p95_seconds p99_seconds",
        order="task_name category",
        time=None,
        enumerations=_OF_TASKS,
    ),
    _view(
        "task_waits",
        "task_name category n mean_seconds p50_seconds p95_seconds p99_seconds",
        order="task_name category",
        time=None,
        enumerations=_OF_TASKS,
    ),
    _view(
        "outcomes",
        "day task_name category audio_language host finished succeeded failed revoked success_rate",
        order="day task_name category audio_language host",
        time="day",
        enumerations=_OF_TASKS,
    ),
    _view(
        "minutes_daily",
        "day task_name category tasks processed_minutes succeeded_minutes",
        order="day task_name category",
        time="day",
        enumerations=_OF_TASKS,
    ),
    _view(
        "video_lengths",
        "task_id lines at_least_seconds",
        order="task_id",
        time=None,
        enumerations={},
    ),
    _view(
        "status_spans",
        "task_id status valid_from valid_to seconds history_id",
        order="history_id",
        time="valid_from",
        enumerations=_OF_HISTORY,
    ),
    _view(
        "status_transitions",
        "from_status to_status transitions tasks mean_seconds",
        order="from_status to_status",
        time=None,
        enumerations=_OF_HISTORY,
    ),
    _view(
        "retries",
        "task_id task_name category status retried fell_back last_at url",
        order="task_id",
        time="last_at",
        enumerations=_OF_TASKS,
    ),
    _view(
        "failures",
        "task_id task_name category failed_at error url client_user_id client_entity_data removed_at",
        order="failed_at task_id",
        time="failed_at",
        enumerations=_OF_TASKS,
    ),
    _view(
        "failure_kinds",
        "task_name category error_kind tasks first_at last_at",
        order="task_name category error_kind",
        time="last_at",
        enumerations=_OF_TASKS,
    ),
    _view(
        "in_flight",
        "task_id task_name category status progress created_at started_at age_seconds unchanged_seconds url",
        order="task_id",
        time="created_at",
        enumerations=_OF_TASKS,
    ),
    _view(
        "stalls",
        "task_id task_name category status progress created_at age_seconds unchanged_seconds usual_seconds"
        " url",
        order="task_id",
        time="created_at",
        enumerations=_OF_TASKS,
    ),
    _view(
        "results_expiring",
        "task_id task_name category status completed_at expires_at days_left state attempts next_attempt_at"
        " removed_at",
        order="expires_at task_id",
        time="completed_at",
        enumerations={**_OF_TASKS, **_OF_RESULTS},
    ),
    _view(
        "freshness",
        "synced_at age_seconds watermark last_full_at present_tasks failed_since",
        order="synced_at",
        time=None,
        enumerations={},
    ),
)
VIEWS = {relation.name: relation for relation in _LISTED}
