"""
Many rows at once, as tuples of what the driver itself takes.

SQLAlchemy's Core asks for every value of every row what is to be done with it; with the 25 columns of a task
that costs more than the database does. So here, and only here, rows are encoded before they are handed over,
and statements are plain text. They still run through the connection, whose events and errors are the same as
everywhere else.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from etl.models.base import as_json, as_sqlite_instant

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    import sqlalchemy as sa

Row = tuple[Any, ...]
Names = tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Encoder:
    """How a driver is given what it has no type for; None is NULL and is not to be encoded."""

    instant: Callable[[dt.datetime], Any]
    document: Callable[[Any], Any] = as_json


def encoder_for(connection: sa.Connection) -> Encoder:
    """Give the encoder of the connection's driver."""
    return _POSTGRES if connection.dialect.name == "postgresql" else _SQLITE


def insert_rows(connection: sa.Connection, table: sa.Table, names: Names, rows: list[Row]) -> None:
    """Add rows that are not there yet: on Postgres by COPY, which the engine knows how to run."""
    if not rows:
        return
    columns = f"{table.name} ({', '.join(names)})"
    if connection.dialect.name == "postgresql":
        statement = f"COPY {columns} FROM STDIN"
    else:
        statement = f"INSERT INTO {columns} VALUES ({', '.join('?' * len(names))})"
    connection.exec_driver_sql(statement, rows)


def update_rows(connection: sa.Connection, table: sa.Table, names: Names, rows: list[Row]) -> None:
    """Change rows that are there; the first name is that of the key."""
    if not rows:
        return
    key, *others = names
    mark = "%s" if connection.dialect.name == "postgresql" else "?"
    changes = ", ".join(f"{name} = {mark}" for name in others)
    statement = f"UPDATE {table.name} SET {changes} WHERE {key} = {mark}"
    connection.exec_driver_sql(statement, [(*row[1:], row[0]) for row in rows])


def _same(value: dt.datetime) -> dt.datetime:
    return value


_SQLITE = Encoder(as_sqlite_instant)
_POSTGRES = Encoder(_same)
