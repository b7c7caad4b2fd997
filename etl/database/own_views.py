"""
Our views, brought to what this release says they are, with what others have attached to them.

A view that can stay is left in place, and with it whatever somebody has attached to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from etl import views
from etl.database import postgres_views
from etl.errors import DatabaseError, ForeignTablesError

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def drop_views(connection: Connection, names: Sequence[str]) -> None:
    """Drop these views; on Postgres, DatabaseError names what reads them. SQLite does not mind."""
    if connection.dialect.name == "postgresql":
        postgres_views.drop_views(connection, names)
        return
    for name in reversed(names):
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")


def refuse_namesakes(connection: Connection, names: Sequence[str]) -> None:
    """Raise DatabaseError if a user has a view of one of these names, which is to become one of ours."""
    found = sorted({name.lower() for name in inspect(connection).get_view_names()}.intersection(names))
    if found:
        raise DatabaseError(
            f"{', '.join(found)} is a view of yours, and this gcore-etl has one of that name: nothing was "
            "changed; rename yours, and run gcore-etl db upgrade"
        )


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
