"""What each frame is selected from: the columns, the order, and the time that `since` and `until` compare."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from etl.catalog import ColumnType, Enumeration, list_catalog
from etl.models import HISTORY, METADATA, RUNS, TASKS, UtcDateTime
from etl.views.definitions import VIEWS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.types import TypeEngine

    from etl.catalog import ColumnKind


class Day(sa.TypeDecorator[dt.datetime]):
    """A day as text, `YYYY-MM-DD`; in comparisons it stands for its first instant."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002
        """Return a string that sorts before a day exactly if the instant is not after that day's start."""
        if value is None:
            return None
        day = value.date().isoformat()
        return day if value.time() == dt.time() else f"{day}T"


# What comparing and sorting need; numbers need no type.
_SQL_TYPES: dict[ColumnType, TypeEngine[Any]] = {
    ColumnType.TEXT: sa.Text(),
    ColumnType.DAY: Day(),
    ColumnType.TIMESTAMP: UtcDateTime(),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """
    A table or view that can be read.

    `time` may be a column of another table: a comparison with it selects from `timed_from`. Only rows that
    meet all `conditions` are read.
    """

    name: str
    columns: Mapping[str, sa.ColumnElement[Any]]
    kinds: Mapping[str, ColumnKind]
    order: tuple[str, ...]
    time: sa.ColumnElement[Any] | None
    timed_from: sa.FromClause
    conditions: tuple[sa.ColumnElement[bool], ...] = ()
    why_no_time: str = ""

    @property
    def enumerations(self) -> dict[str, Enumeration]:
        """The columns that become categories."""
        return {name: kind for name, kind in self.kinds.items() if isinstance(kind, Enumeration)}

    @property
    def types(self) -> dict[str, ColumnType]:
        """The type of each column, categories being text."""
        return {
            name: ColumnType.TEXT if isinstance(kind, Enumeration) else kind
            for name, kind in self.kinds.items()
        }


def _task_time() -> sa.ColumnElement[Any]:
    return sa.func.coalesce(TASKS.c.completed_at, TASKS.c.changed_at, type_=UtcDateTime())


def _with_tasks(relation: sa.FromClause) -> sa.FromClause:
    return relation.join(TASKS, TASKS.c.task_id == relation.c.task_id)


def _of_table(name: str, time: sa.ColumnElement[Any] | None = None) -> Selection:
    """Select from a table; without a `time` of its own it has that of the task."""
    table = METADATA.tables[name]
    # Internal columns, such as the hash of the raw record, mean nothing outside the sync.
    columns = {column.name: column for column in table.columns if not column.info.get("is_internal")}
    return Selection(
        name=name,
        columns=columns,
        kinds={each: _KINDS[name][each] for each in columns},
        order=tuple(column.name for column in table.primary_key),
        time=_task_time() if time is None else time,
        timed_from=_with_tasks(table) if time is None else table,
    )


def _of_view(name: str) -> Selection:
    view, kinds = VIEWS[name], _KINDS[name]
    relation = sa.table(name, *(sa.column(each, _sql_type(kind)) for each, kind in kinds.items()))
    time = relation.c[view.time] if view.time else _task_time() if view.has_task_time else None
    return Selection(
        name=name,
        columns=dict(relation.c.items()),
        kinds=kinds,
        order=view.order,
        time=time,
        timed_from=_with_tasks(relation) if view.has_task_time else relation,
        why_no_time=f"it summarizes the whole history; filter {view.unaggregated} instead",
    )


def _sql_type(kind: ColumnKind) -> TypeEngine[Any] | None:
    return sa.Text() if isinstance(kind, Enumeration) else _SQL_TYPES.get(kind)


_KINDS = {entry.name: entry.columns for entry in list_catalog()}
TABLE_SELECTIONS = {
    "tasks": _of_table(
        "tasks", sa.func.coalesce(TASKS.c.started_at, TASKS.c.first_seen_at, type_=UtcDateTime())
    ),
    "task_history": _of_table("task_history", HISTORY.c.observed_at),
    "task_results": _of_table("task_results"),
    "subtitles": _of_table("subtitles"),
    "detections": _of_table("detections"),
    "sync_runs": _of_table("sync_runs", RUNS.c.started_at),
}
VIEW_SELECTIONS = {name: _of_view(name) for name in VIEWS}
SELECTIONS = TABLE_SELECTIONS | VIEW_SELECTIONS
