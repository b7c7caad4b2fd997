"""Every table and view: what a row is, and the types of its columns, which are the same on both databases."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import functools
import inspect
import sqlite3
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import sqlalchemy as sa

from etl import views
from etl.enums import (
    Category,
    HistoryEvent,
    ResultKind,
    ResultState,
    RunMode,
    RunStatus,
    TaskStatus,
    TaskType,
)
from etl.models import HISTORY, METADATA, RESULTS, STATE, TASKS, Base, Json, UtcDateTime
from etl.views.definitions import VIEWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy.types import TypeEngine


class ColumnType(enum.StrEnum):
    """The type of a column on both databases, as `gcore-etl schema` prints it."""

    TEXT = "text"
    DAY = "day"
    TIMESTAMP = "timestamp"
    INTEGER = "integer"
    DOUBLE = "double precision"
    BOOLEAN = "boolean"
    JSON = "json"
    BYTES = "bytes"

    @property
    def sql_name(self) -> str:
        """The type that a query sees: a day is text, `YYYY-MM-DD`."""
        return "text" if self is ColumnType.DAY else self.value


@dataclasses.dataclass(frozen=True, slots=True)
class Enumeration:
    """
    Text with few distinct values: those of the named table columns (`tasks.status`).

    Those `known` in advance are in their natural order; the API may add others. Two columns with the same
    enumeration have the same pandas dtype, so that they can be compared.
    """

    columns: tuple[str, ...]
    known: tuple[str, ...]

    sql_name = "text"


ColumnKind: TypeAlias = ColumnType | Enumeration

_VOCABULARIES: dict[tuple[str, ...], Iterable[str]] = {
    ("tasks.task_name",): TaskType,
    ("tasks.status",): TaskStatus,
    ("tasks.category",): Category,
    ("tasks.audio_language",): (),
    ("tasks.subtitles_language",): (),
    ("task_history.status", "task_history.previous_status"): TaskStatus,
    ("task_history.event",): HistoryEvent,
    ("task_results.state",): ResultState,
    ("task_results.kind",): ResultKind,
    ("detections.label",): (),
    ("sync_runs.mode",): RunMode,
    ("sync_runs.status",): RunStatus,
}
ENUMERATIONS = {
    path: Enumeration(paths, tuple(map(str, known)))
    for paths, known in _VOCABULARIES.items()
    for path in paths
}
_TYPES: dict[type[TypeEngine[Any]], ColumnType] = {
    UtcDateTime: ColumnType.TIMESTAMP,
    Json: ColumnType.JSON,
    sa.Boolean: ColumnType.BOOLEAN,
    sa.Integer: ColumnType.INTEGER,
    sa.Float: ColumnType.DOUBLE,
    sa.LargeBinary: ColumnType.BYTES,
}

# A column of a view that has the name of a column of one of these tables has its type.
_SOURCES = (TASKS, RESULTS, HISTORY, STATE)
# The columns that a view computes. All others are instants, spans or counts, as their names say.
_OBSERVED_STATUS = ENUMERATIONS["task_history.status"]
_COMPUTED: dict[str, ColumnKind] = {
    "status_spans.status": _OBSERVED_STATUS,
    "status_transitions.from_status": _OBSERVED_STATUS,
    "status_transitions.to_status": _OBSERVED_STATUS,
    "status_spans.valid_from": ColumnType.TIMESTAMP,
    "status_spans.valid_to": ColumnType.TIMESTAMP,
    "task_daily.day": ColumnType.DAY,
    "minutes_daily.day": ColumnType.DAY,
    "outcomes.day": ColumnType.DAY,
    "outcomes.host": ColumnType.TEXT,
    "outcomes.success_rate": ColumnType.DOUBLE,
    "failure_kinds.error_kind": ColumnType.TEXT,
    "results_expiring.days_left": ColumnType.DOUBLE,
}
_BY_SUFFIX = {"_at": ColumnType.TIMESTAMP, "seconds": ColumnType.DOUBLE, "_minutes": ColumnType.DOUBLE}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CatalogEntry:
    """A table or view; `comment` says what a row is."""

    name: str
    kind: Literal["table", "view"]
    comment: str
    columns: Mapping[str, ColumnKind]

    @property
    def sql_types(self) -> dict[str, str]:
        """The type of each column, as a query sees it."""
        return {name: kind.sql_name for name, kind in self.columns.items()}


@functools.cache
def list_catalog() -> tuple[CatalogEntry, ...]:
    """Return the tables and then the views, in the order of creation."""
    comments = {mapper.local_table: _paragraphs(mapper.class_) for mapper in Base.registry.mappers}
    tables = (
        CatalogEntry(
            name=table.name,
            kind="table",
            comment=comments[table],
            columns={column.name: _kind_in_table(column) for column in table.columns},
        )
        for table in METADATA.sorted_tables
    )
    found = (
        CatalogEntry(
            name=name,
            kind="view",
            comment=VIEWS[name].description,
            columns={column: _kind_in_view(name, column) for column in columns},
        )
        for name, columns in _columns_of_views().items()
    )
    return (*tables, *found)


def _paragraphs(model: type[Base]) -> str:
    """Return the docstring of a model with each paragraph on one line."""
    paragraphs = inspect.cleandoc(model.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _columns_of_views() -> dict[str, list[str]]:
    """Return the names of the columns of each view, which SQLite derives from the query."""
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        for table in METADATA.sorted_tables:
            database.execute(f"CREATE TABLE {table.name} ({', '.join(table.columns.keys())})")
        for name in views.NAMES:
            database.execute(f"CREATE VIEW {name} AS {views.definition(name, 'sqlite')}")
        return {
            name: [column for column, *_ in database.execute(f"SELECT * FROM {name}").description]
            for name in views.NAMES
        }


def _kind_in_table(column: sa.Column[Any]) -> ColumnKind:
    enumeration = ENUMERATIONS.get(f"{column.table.name}.{column.name}")
    if enumeration is not None:
        return enumeration
    return next((kind for stored, kind in _TYPES.items() if isinstance(column.type, stored)), ColumnType.TEXT)


def _kind_in_view(view: str, name: str) -> ColumnKind:
    if computed := _COMPUTED.get(f"{view}.{name}"):
        return computed
    for table in _SOURCES:
        if name in table.columns:
            return _kind_in_table(table.columns[name])
    return next((kind for suffix, kind in _BY_SUFFIX.items() if name.endswith(suffix)), ColumnType.INTEGER)
