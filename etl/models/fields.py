"""
Which columns of `tasks` the API fills, and where a record holds their values.

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
    One column of `tasks` that the API fills from the member of a record that has the column's name.

    The member is one of the record itself, or of its object `parent`. `fallbacks` are the places to look if
    it is missing: `created_at` is a member of the record, `task_data.task_name` one of its `task_data`.
    """

    name: str
    kind: FieldKind
    parent: str | None
    fallbacks: tuple[str, ...]


def api_field(
    parent: str | None = None, *, fallbacks: tuple[str, ...] = (), type_: TypeEngine[Any] | None = None
) -> MappedColumn[Any]:
    """Return a nullable column that the API fills; its name is the API's."""
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
