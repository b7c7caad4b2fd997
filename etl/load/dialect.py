"""The places where SQLite and Postgres want other words for the same statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from etl.models.base import as_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.dialects import postgresql, sqlite


def insert(connection: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """Start an INSERT that can say ON CONFLICT."""
    # Each is loaded where it is used, and takes long.
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as insert_postgres  # noqa: PLC0415

        return insert_postgres(table)
    from sqlalchemy.dialects.sqlite import insert as insert_sqlite  # noqa: PLC0415

    return insert_sqlite(table)


# No id holds a line break: ids are printable.
_BREAK = "\n"


def is_any_of(
    connection: sa.Connection, column: sa.ColumnElement[str], values: Iterable[str]
) -> sa.ColumnElement[bool]:
    """Test a column against many ids in one parameter, whatever their number."""
    if connection.dialect.name == "postgresql":
        return column == sa.any_(_array(values))
    return column.in_(sa.select(as_rows(connection, values)))


def as_rows(connection: sa.Connection, values: Iterable[str]) -> sa.ColumnElement[str]:
    """Give many ids as rows, in one parameter, whatever their number."""
    if connection.dialect.name == "postgresql":
        return sa.func.unnest(_array(values), type_=sa.Text)
    listed = sa.func.json_each(sa.literal(as_json(list(values)))).table_valued("value")
    return listed.c.value


def utc_day(connection: sa.Connection, column: sa.ColumnElement[Any]) -> sa.ColumnElement[str | None]:
    """Give the day of an instant, in UTC, as `YYYY-MM-DD`."""
    if connection.dialect.name == "postgresql":
        return sa.func.to_char(sa.func.timezone("UTC", column), "YYYY-MM-DD", type_=sa.Text)
    return sa.func.substr(sa.type_coerce(column, sa.Text), 1, 10, type_=sa.Text)


def _array(values: Iterable[str]) -> sa.ColumnElement[Any]:
    # As one text: the driver would look at each value of an array by itself.
    return sa.func.string_to_array(_BREAK.join(values), _BREAK, type_=sa.ARRAY(sa.Text))
