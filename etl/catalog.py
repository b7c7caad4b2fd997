"""Every table and view: what a row is, and the types of its columns, which are the same on both databases."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

import sqlalchemy as sa

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
from etl.models import METADATA, Json, UtcDateTime
from etl.views import definitions
from etl.views.view import ColumnType, Enumeration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum

    from sqlalchemy.types import TypeEngine

    from etl.views.view import ColumnKind

# The values that are known in advance, in their natural order; the API may add others.
_VOCABULARIES: dict[Enumeration, type[StrEnum] | tuple[()]] = {
    definitions.TASK_NAME: TaskType,
    definitions.STATUS: TaskStatus,
    definitions.CATEGORY: Category,
    definitions.AUDIO_LANGUAGE: (),
    Enumeration(("tasks.subtitles_language",)): (),
    definitions.OBSERVED_STATUS: TaskStatus,
    Enumeration(("task_history.event",)): HistoryEvent,
    definitions.RESULT_STATE: ResultState,
    Enumeration(("task_results.kind",)): ResultKind,
    Enumeration(("detections.label",)): (),
    Enumeration(("sync_runs.mode",)): RunMode,
    Enumeration(("sync_runs.status",)): RunStatus,
}
KNOWN_VALUES = {
    enumeration: tuple(member.value for member in known) for enumeration, known in _VOCABULARIES.items()
}
_ENUMERATIONS = {column: enumeration for enumeration in KNOWN_VALUES for column in enumeration.columns}
_TYPES: tuple[tuple[type[TypeEngine[Any]], ColumnType], ...] = (
    (UtcDateTime, ColumnType.TIMESTAMP),
    (Json, ColumnType.JSON),
    (sa.Boolean, ColumnType.BOOLEAN),
    (sa.Integer, ColumnType.INTEGER),
    (sa.Float, ColumnType.DOUBLE),
    (sa.LargeBinary, ColumnType.BYTES),
)


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


def list_catalog() -> list[CatalogEntry]:
    """Return the tables and then the views, in the order of creation."""
    tables = [
        CatalogEntry(
            name=table.name,
            kind="table",
            comment=table.info["comment"],
            columns={column.name: column_kind(column) for column in table.columns},
        )
        for table in METADATA.sorted_tables
    ]
    return tables + [
        CatalogEntry(name=view.name, kind="view", comment=view.description, columns=view.columns)
        for view in definitions.VIEWS.values()
    ]


def column_kind(column: sa.Column[Any]) -> ColumnKind:
    """Return the type of a table's column."""
    enumeration = _ENUMERATIONS.get(f"{column.table.name}.{column.name}")
    if enumeration is not None:
        return enumeration
    return next((kind for stored, kind in _TYPES if isinstance(column.type, stored)), ColumnType.TEXT)
