"""
Our views, recreated where they differ from this release's.

A view that has not changed is left in place, with the grants, triggers and comments that users added to it.
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
    Create missing views, and replace those that differ from this release's.

    Raises DatabaseError if a user's view depends on one that has to be dropped; the caller must roll back.
    """
    if connection.dialect.name == "postgresql":
        postgres_views.replace_views(connection)
    else:
        _replace_on_sqlite(connection)


def drop_views(connection: Connection, names: Sequence[str]) -> None:
    """Drop these views. On Postgres, raises DatabaseError if objects of users depend on them."""
    if connection.dialect.name == "postgresql":
        postgres_views.drop_views(connection, names)
        return
    for name in reversed(names):
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")


def refuse_name_conflicts(connection: Connection, names: Sequence[str]) -> None:
    """Raise DatabaseError if a user already has a view with the name of a new view of ours."""
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
