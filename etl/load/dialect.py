"""The two places where SQLite and Postgres want other words for the same statement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from etl.models import Json

if TYPE_CHECKING:
    from collections.abc import Iterable


def insert(connection: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """Start an INSERT that can say ON CONFLICT."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def among(
    connection: sa.Connection, column: sa.ColumnElement[str], values: Iterable[str]
) -> sa.ColumnElement[bool]:
    """Test a column against many values in one parameter, whatever their number."""
    if connection.dialect.name == "postgresql":
        return column == sa.any_(sa.bindparam(None, list(values), type_=postgresql.ARRAY(sa.Text)))
    listed = sa.func.json_each(sa.bindparam(None, list(values), type_=Json)).table_valued("value")
    return column.in_(sa.select(listed.c.value))
