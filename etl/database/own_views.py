"""
Our views, brought to what this release says they are, with what others have attached to them.

A view that can stay is left in place, and with it whatever somebody has attached to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from etl import views
from etl.database import postgres_views
from etl.errors import ForeignTablesError

if TYPE_CHECKING:
    from sqlalchemy import Connection


def replace_views(connection: Connection) -> None:
    """
    Create the views that are missing, and change those that differ from this release's.

    Raises DatabaseError where somebody's own view is in the way; the caller then has to roll back.
    """
    if connection.dialect.name == "postgresql":
        postgres_views.replace_views(connection)
    else:
        _replace_on_sqlite(connection)


def drop_views(connection: Connection) -> None:
    """Drop the views; on Postgres, DatabaseError names what reads them. SQLite does not mind."""
    if connection.dialect.name == "postgresql":
        postgres_views.drop_views(connection)
        return
    for name in reversed(views.NAMES):
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")


def _replace_on_sqlite(connection: Connection) -> None:
    rows = connection.exec_driver_sql(
        "SELECT lower(name), type, sql FROM sqlite_master WHERE type IN ('table', 'view')"
    )
    stored = {name: (kind, sql) for name, kind, sql in rows}
    for name in views.NAMES:
        kind, sql = stored.get(name, ("", ""))
        if kind == "table":
            raise ForeignTablesError(
                f"{name} is a table, and gcore-etl keeps a view of that name: rename the table"
            )
        statement = f"CREATE VIEW {name} AS\n{views.definition(name, 'sqlite')}".rstrip()
        if sql.rstrip() == statement:
            continue
        triggers = connection.scalars(
            text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND lower(tbl_name) = :name"),
            {"name": name},
        ).all()
        for each in (f"DROP VIEW IF EXISTS {name}", statement, *triggers):
            connection.exec_driver_sql(each)
