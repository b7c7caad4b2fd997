"""
The columns of `tasks` that the API fills, and where their values are in a record.

A field is declared once, by `api_field` in the model. The decoders, the row encoder, the comparison with
stored rows, frames and exports are derived from it; a migration adds its column to existing databases.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.orm import mapped_column

from etl.models.base import Json, UtcDateTime

if TYPE_CHECKING:
    from sqlalchemy.orm import MappedColumn
    from sqlalchemy.types import TypeEngine

_SOURCE = "api_source"


class FieldKind(enum.Enum):
    """The type of a field, as a decoder sees it."""

    TEXT = enum.auto()
    SMALL_INTEGER = enum.auto()  # 32 bits
    INTEGER = enum.auto()  # 64 bits
    NUMBER = enum.auto()
    BOOLEAN = enum.auto()
    INSTANT = enum.auto()
    OBJECT = enum.auto()


# BigInteger is a subclass of Integer.
_KINDS: tuple[tuple[type[TypeEngine[Any]], FieldKind], ...] = (
    (UtcDateTime, FieldKind.INSTANT),
    (Json, FieldKind.OBJECT),
    (sa.Boolean, FieldKind.BOOLEAN),
    (sa.BigInteger, FieldKind.INTEGER),
    (sa.Integer, FieldKind.SMALL_INTEGER),
    (sa.Double, FieldKind.NUMBER),
    (sa.Text, FieldKind.TEXT),
)


@dataclasses.dataclass(frozen=True, slots=True)
class ApiField:
    """
    A column of `tasks` whose value is the member of the same name in a record of the API.

    The member belongs to the record itself, or to its object `parent`. `fallbacks` are the alternatives if it
    is missing: `created_at` is a member of the record, `task_data.task_name` a member of its `task_data`.
    """

    name: str
    kind: FieldKind
    parent: str | None
    fallbacks: tuple[str, ...]


def api_field(
    parent: str | None = None, *, fallbacks: tuple[str, ...] = (), type_: TypeEngine[Any] | None = None
) -> MappedColumn[Any]:
    """Return a nullable column that the API fills and names."""
    return mapped_column(type_, info={_SOURCE: (parent, fallbacks)})


def api_fields(table: sa.Table) -> tuple[ApiField, ...]:
    """Return the fields of a table in the order of its columns."""
    return tuple(
        ApiField(column.name, _kind_of(column), *column.info[_SOURCE])
        for column in table.columns
        if _SOURCE in column.info
    )


def _kind_of(column: sa.Column[Any]) -> FieldKind:
    return next(kind for each, kind in _KINDS if isinstance(column.type, each))
