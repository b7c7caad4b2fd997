"""Expressions that differ between SQLite and Postgres."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from etl.models.base import as_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.dialects import postgresql, sqlite


def insert(connection: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT that supports ON CONFLICT."""
    # Imported here because each dialect is slow to import, and only one is used.
    dialect = importlib.import_module(f"sqlalchemy.dialects.{connection.dialect.name}")
    statement: postgresql.Insert | sqlite.Insert = dialect.insert(table)
    return statement


# Ids are printable, so none contains a line break.
_BREAK = "\n"


def is_any_of(
    connection: sa.Connection, column: sa.ColumnElement[str], values: Iterable[str]
) -> sa.ColumnElement[bool]:
    """Return the condition that a column has one of these ids, which are sent as one parameter."""
    if connection.dialect.name == "postgresql":
        return column == sa.any_(_array(values))
    return column.in_(sa.select(as_rows(connection, values)))


def as_rows(connection: sa.Connection, values: Iterable[str]) -> sa.ColumnElement[str]:
    """Return an expression with a row for each id, which are sent as one parameter."""
    if connection.dialect.name == "postgresql":
        return sa.func.unnest(_array(values), type_=sa.Text)
    listed = sa.func.json_each(sa.literal(as_json(list(values)))).table_valued("value")
    return listed.c.value


def utc_day(connection: sa.Connection, column: sa.ColumnElement[Any]) -> sa.ColumnElement[str | None]:
    """Return the UTC day of an instant as `YYYY-MM-DD`."""
    if connection.dialect.name == "postgresql":
        return sa.func.to_char(sa.func.timezone("UTC", column), "YYYY-MM-DD", type_=sa.Text)
    return sa.func.substr(sa.type_coerce(column, sa.Text), 1, 10, type_=sa.Text)


def _array(values: Iterable[str]) -> sa.ColumnElement[Any]:
    # Sent as one string, because the driver would inspect each value of an array.
    return sa.func.string_to_array(_BREAK.join(values), _BREAK, type_=sa.ARRAY(sa.Text))
