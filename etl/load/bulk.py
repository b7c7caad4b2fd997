"""
Bulk inserts and updates of rows that are encoded for the driver already.

SQLAlchemy's Core processes every value of every row; with the 25 columns of a task that takes longer than the
database does. So here, and only here, rows are encoded first and statements are plain text. They still run
through the connection, with the same events and errors as everywhere else.
"""

from __future__ import annotations

import dataclasses
import itertools
import sqlite3
from typing import TYPE_CHECKING, Any

from etl.models.base import as_json, as_sqlite_instant

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable

    import sqlalchemy as sa

# SQLite releases the interpreter lock during a statement. With one row per statement, the loading thread
# would wait for the lock after each; with so many rows, other threads decode pages meanwhile.
_ROWS_PER_STATEMENT = 1000

Row = tuple[Any, ...]
Names = tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Encoder:
    """How the values of types that a driver does not know are encoded; None is NULL, and is not encoded."""

    instant: Callable[[dt.datetime], Any]
    document: Callable[[Any], Any] = as_json


def encoder_for(connection: sa.Connection) -> Encoder:
    """Return the encoder of the connection's driver."""
    return _POSTGRES if connection.dialect.name == "postgresql" else _SQLITE


def fetch_pairs(connection: sa.Connection, query: sa.Select[tuple[Any, Any]]) -> dict[Any, Any]:
    """Return a mapping of the first of two columns to the second, as the driver returns them."""
    return dict(connection.execute(query).cursor.fetchall())


def insert_rows(connection: sa.Connection, table: sa.Table, names: Names, rows: Iterable[Row]) -> None:
    """
    Insert rows: on Postgres by COPY, which the engine knows how to run.

    `rows` may be a generator: the server stores the first rows while the others are encoded.
    """
    waiting = iter(rows)
    first = next(waiting, None)
    if first is None:
        return
    waiting = itertools.chain([first], waiting)
    columns = f"{table.name} ({', '.join(names)})"
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"COPY {columns} FROM STDIN", (waiting,))
        return
    one = f"({', '.join('?' * len(names))})"
    # Before 3.32 SQLite accepted at most 999 values per statement.
    driver: Any = connection.connection.driver_connection
    values = driver.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
    most = max(1, min(_ROWS_PER_STATEMENT, values // len(names)))
    while part := list(itertools.islice(waiting, most)):
        statement = f"INSERT INTO {columns} VALUES {one}"
        if len(part) == most:
            flat = tuple(itertools.chain.from_iterable(part))
            connection.exec_driver_sql(statement + f", {one}" * (len(part) - 1), flat)
        else:
            connection.exec_driver_sql(statement, part)


def update_rows(connection: sa.Connection, table: sa.Table, names: Names, rows: list[Row]) -> None:
    """Update rows; the first name is that of the key."""
    if not rows:
        return
    key, *others = names
    mark = "%s" if connection.dialect.name == "postgresql" else "?"
    changes = ", ".join(f"{name} = {mark}" for name in others)
    statement = f"UPDATE {table.name} SET {changes} WHERE {key} = {mark}"
    connection.exec_driver_sql(statement, [(*row[1:], row[0]) for row in rows])


def _as_postgres_instant(value: dt.datetime) -> str:
    # The driver would look up the type of each value, and then write the same.
    return f"{as_sqlite_instant(value)}+00"


_SQLITE = Encoder(as_sqlite_instant)
_POSTGRES = Encoder(_as_postgres_instant)
