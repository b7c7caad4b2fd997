"""The entry of a view in the catalog, and the types of columns."""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    Text with few distinct values, which are those of the named table columns (`tasks.status`).

    Two columns with the same enumeration have the same pandas dtype, so that they can be compared.
    """

    columns: tuple[str, ...]

    sql_name = "text"


ColumnKind: TypeAlias = ColumnType | Enumeration


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
    columns: Mapping[str, ColumnKind]
    order: tuple[str, ...]
    time: str | None = None
    has_task_time: bool = False
    unaggregated: str | None = None

    @property
    def description(self) -> str:
        """What `gcore-etl schema`, the database and the explorer show about the view."""
        return f"{self.row} {self.notes}".rstrip()
