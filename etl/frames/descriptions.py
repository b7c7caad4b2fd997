"""What a row of each table and view is, and of which type its columns are: the same on both databases."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from etl import views
from etl.frames.catalog import VIEWS
from etl.models import METADATA, Json, UtcDateTime

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

_TYPES: tuple[tuple[type[object], str], ...] = (
    (UtcDateTime, "timestamp"),
    (Json, "json"),
    (sa.Boolean, "boolean"),
    (sa.Integer, "integer"),
    (sa.Float, "double precision"),
    (sa.LargeBinary, "bytes"),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """
    A table or view: its `kind`, what a row of it is, and the types of its columns by their names.

    The types are `timestamp` (UTC), `json`, `boolean`, `integer`, `double precision`, `bytes`, else `text`.
    """

    name: str
    kind: str
    comment: str
    columns: dict[str, str]


def describe() -> list[Description]:
    """Describe every table, and then every view, in the order in which they are made."""
    tables = [
        Description(
            name=table.name,
            kind="table",
            comment=table.info["comment"],
            columns={column.name: _type_name(column.type) for column in table.columns},
        )
        for table in METADATA.sorted_tables
    ]
    catalog = [VIEWS[name] for name in views.NAMES]
    return tables + [
        Description(
            name=relation.name,
            kind="view",
            comment=views.comment_of(relation.name),
            columns={name: _type_name(column.type) for name, column in relation.columns.items()},
        )
        for relation in catalog
    ]


def _type_name(kind: TypeEngine[Any]) -> str:
    return next((name for each, name in _TYPES if isinstance(kind, each)), "text")
