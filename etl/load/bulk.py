"""
Bulk inserts and updates: rows are encoded for the driver here, a thousand at a time and column by column.

SQLAlchemy's Core processes every value of every row; with the 25 columns of a task that takes longer than the
database does. So here, and only here, values are encoded first and statements are plain text. They still run
through the connection, with the same events and errors as everywhere else.
"""

from __future__ import annotations

import functools
import itertools
import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from etl.models.base import Json, UtcDateTime, as_json, as_sqlite_instants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import sqlalchemy as sa

# Rows that are encoded together. SQLite stores as many per statement, during which it releases the
# interpreter lock. With one row per statement, the loading thread would wait for the lock after each; with
# so many rows, other threads decode pages meanwhile.
_ROWS_TOGETHER = 1000

Row = tuple[Any, ...]
Names = tuple[str, ...]
# Values of one column; None is NULL.
Column = Sequence[Any]
Columns = Mapping[str, Column]

# The driver of Postgres would look up the type of each time, and then write the same.
_ENCODE_INSTANTS: dict[str, Callable[[Column], Column]] = {
    "sqlite": as_sqlite_instants,
    "postgresql": msgspec.to_builtins,
}
_encode_lines = msgspec.json.Encoder().encode_lines


def fetch_pairs(connection: sa.Connection, query: sa.Select[tuple[Any, Any]]) -> dict[Any, Any]:
    """Return a mapping of the first of two columns to the second, as the driver returns them."""
    return dict(connection.execute(query).cursor.fetchall())


def insert_columns(connection: sa.Connection, table: sa.Table, columns: Columns) -> None:
    """Insert rows given by their columns, which have the same length; otherwise the same as `insert_rows`."""
    number, size = len(next(iter(columns.values()))), _rows_together(connection, len(columns))
    parts = (
        {name: column[start : start + size] for name, column in columns.items()}
        for start in range(0, number, size)
    )
    _insert(connection, table, tuple(columns), parts, size)


def insert_rows(connection: sa.Connection, table: sa.Table, names: Names, rows: Iterable[Row]) -> None:
    """
    Insert rows of values of these columns: on Postgres by COPY, which the engine knows how to run.

    Times are aware and in UTC. The values of a JSON column are JSON values, which may contain structs, or
    all of them are JSON texts. `rows` may be a generator: the server stores the first rows while the others
    are encoded.
    """
    size = _rows_together(connection, len(names))
    _insert(connection, table, names, _iter_columns(names, rows, size), size)


def _rows_together(connection: sa.Connection, columns: int) -> int:
    """Return the number of rows to encode together; before 3.32 SQLite accepted 999 values per statement."""
    if connection.dialect.name == "postgresql":
        return _ROWS_TOGETHER
    driver: Any = connection.connection.driver_connection
    values: int = driver.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
    return max(1, min(_ROWS_TOGETHER, values // columns))


def _insert(
    connection: sa.Connection, table: sa.Table, names: Names, parts: Iterator[Columns], size: int
) -> None:
    """Insert parts of up to `size` rows each."""
    encoded = (_encoded(connection, table, part) for part in parts)
    if connection.dialect.name == "postgresql":
        first = next(encoded, None)
        if first is not None:
            rows = (zip(*part.values(), strict=True) for part in itertools.chain([first], encoded))
            copied = itertools.chain.from_iterable(rows)
            connection.exec_driver_sql(f"COPY {table.name} ({', '.join(names)}) FROM STDIN", (copied,))
    else:
        for part in encoded:
            _insert_part(connection, table, part, size)


def _insert_part(connection: sa.Connection, table: sa.Table, part: Columns, size: int) -> None:
    """Insert some rows, given by their columns, into SQLite; `size` rows need one statement."""
    # Binding a null takes as long as binding a value, so columns without a value are left out.
    columns = {name: column for name, column in part.items() if column.count(None) < len(column)}
    rows = list(zip(*columns.values(), strict=True))
    one = f"({', '.join('?' * len(columns))})"
    statement = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES {one}"
    if len(rows) == size:
        flat = tuple(itertools.chain.from_iterable(rows))
        connection.exec_driver_sql(statement + f", {one}" * (len(rows) - 1), flat)
    else:
        connection.exec_driver_sql(statement, rows)


def update_rows(connection: sa.Connection, table: sa.Table, names: Names, rows: Sequence[Row]) -> None:
    """Update rows; the first name is that of the key."""
    if not rows:
        return
    key, *others = names
    mark = "%s" if connection.dialect.name == "postgresql" else "?"
    changes = ", ".join(f"{name} = {mark}" for name in others)
    statement = f"UPDATE {table.name} SET {changes} WHERE {key} = {mark}"
    for part in _iter_columns(names, rows, _ROWS_TOGETHER):
        keys, *values = _encoded(connection, table, part).values()
        connection.exec_driver_sql(statement, list(zip(*values, keys, strict=True)))


def _iter_columns(names: Names, rows: Iterable[Row], size: int) -> Iterator[Columns]:
    """Yield the columns of up to `size` rows at a time."""
    waiting = iter(rows)
    while part := list(itertools.islice(waiting, size)):
        yield dict(zip(names, zip(*part, strict=True), strict=True))


def _encoded(connection: sa.Connection, table: sa.Table, columns: Columns) -> Columns:
    """Return the columns as the driver expects them."""
    encoders: dict[type, Callable[[Column], Column]] = {
        UtcDateTime: functools.partial(_encode_instants, _ENCODE_INSTANTS[connection.dialect.name]),
        Json: _encode_documents,
    }
    kinds = {column.name: type(column.type) for column in table.columns}
    return {
        name: encode(column) if (encode := encoders.get(kinds.get(name, object))) else column
        for name, column in columns.items()
    }


def _encode_instants(encode: Callable[[Column], Column], column: Column) -> Column:
    """Return the encoded column; a time that all rows have is encoded once."""
    one, number = column[:1], len(column)
    return list(encode(one)) * number if column.count(one[0]) == number else encode(column)


def _encode_documents(column: Column) -> Column:
    if all(value is None or type(value) is str for value in column):
        return column
    try:
        # JSON text has no line breaks, except between values.
        texts = _encode_lines(column).decode().split("\n")
    except TypeError:
        return [None if value is None else as_json(value) for value in column]
    return [None if value is None else text for value, text in zip(column, texts, strict=False)]
