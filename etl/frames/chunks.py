"""Reading a selection from the database, a fixed number of rows at a time."""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Any, TypeAlias

import pandas as pd
import sqlalchemy as sa

from etl.database import database_errors, ensure_schema, reading
from etl.database.privileges import explain_missing_privileges
from etl.database.session_settings import reader_settings
from etl.errors import ConfigurationError
from etl.frames.dtypes import as_stored, to_array
from etl.models import METADATA
from etl.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from etl.catalog import Enumeration
    from etl.frames.dtypes import Array, DtypeBackend
    from etl.frames.selection import Selection

    ExactReading = Callable[[], AbstractContextManager[None]]

Source: TypeAlias = str | sa.Engine | sa.Connection | None

_READ_ONLY: dict[str, dict[str, Any]] = {
    "sqlite": {"sqlite_begin": "DEFERRED"},
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
}


def iter_chunks(
    source: Source, selection: Selection, names: Sequence[str], size: int, backend: DtypeBackend | None
) -> Iterator[list[Array]]:
    """
    Yield the columns of `size` rows at a time, all from one snapshot of the database.

    If there are no rows, yields empty columns once.
    """
    types = selection.types
    with _opened(source) as (connection, reading_exactly):
        with reading_exactly():
            categories = _read_categories(connection, selection, names)
            query = _select(selection, names, connection.dialect.name)
            result = connection.execute(query, execution_options={"yield_per": size})
        with result:
            is_first = True
            while True:
                with reading_exactly():
                    rows = result.fetchmany(size)
                if not rows and not is_first:
                    return
                columns = zip(*rows, strict=True) if rows else [()] * len(names)
                yield [
                    to_array(values, types[name], categories.get(name), backend)
                    for name, values in zip(names, columns, strict=True)
                ]
                is_first = False


@contextlib.contextmanager
def connected(source: Source) -> Iterator[sa.Connection]:
    """
    Yield a connection inside one read-only transaction.

    An engine or connection of the caller's is used as it is, because it may have settings that its URL does
    not contain. A connection keeps its own transaction, whose isolation level decides whether two reads see
    the same snapshot. Its session settings are changed only while the block lasts.
    """
    with _opened(source) as (connection, reading_exactly), reading_exactly():
        yield connection


@contextlib.contextmanager
def _opened(source: Source) -> Iterator[tuple[sa.Connection, ExactReading]]:
    """
    Yield a connection and the context in which to read.

    Between two reads, the settings of a caller's connection are restored.
    """
    if not isinstance(source, (str, sa.Engine, sa.Connection, type(None))):
        raise TypeError(f"{source!r} is neither a database URL nor a SQLAlchemy engine or connection")
    if not isinstance(source, (sa.Engine, sa.Connection)):
        with reading(Settings.load().database_url if source is None else source) as connection:
            yield connection, contextlib.nullcontext
        return
    dialect = source.dialect.name
    if dialect not in _READ_ONLY:
        raise ConfigurationError(
            f"{dialect} databases are not supported: pass an engine for SQLite or Postgres"
        )
    if isinstance(source, sa.Connection):
        with database_errors():
            yield source, _checked(source)
        return
    with database_errors(), source.connect() as connection, explain_missing_privileges(connection):
        connection.execution_options(**_READ_ONLY[dialect])
        with connection.begin():
            if dialect == "sqlite":
                _begin(connection)
            with _checked(connection)():
                yield connection, contextlib.nullcontext


def _checked(connection: sa.Connection) -> ExactReading:
    """Return the context in which to read from a caller's connection; DatabaseError if it has no tables."""
    is_postgres = connection.dialect.name == "postgresql"
    reading_exactly = reader_settings(connection) if is_postgres else contextlib.nullcontext
    with reading_exactly():
        ensure_schema(connection, migrate=False)
    return reading_exactly


def _begin(connection: sa.Connection) -> None:
    """Start a transaction: Python's sqlite3 module does not start one before a SELECT."""
    if not getattr(connection.connection.driver_connection, "in_transaction", False):
        connection.exec_driver_sql("BEGIN")


def _read_categories(
    connection: sa.Connection, selection: Selection, names: Sequence[str]
) -> dict[str, pd.CategoricalDtype]:
    """
    Return the dtypes of the enumerations among these columns.

    The categories are all values of the table column, not only those in the rows that are read. So all
    chunks, ranges and views have the same dtype, and pandas can concatenate them.
    """
    enumerations = {name: kind for name, kind in selection.enumerations.items() if name in names}
    paths = sorted({path for each in enumerations.values() for path in each.columns})
    found: dict[str, set[str]] = {}
    for table, group in itertools.groupby(paths, key=lambda path: path.partition(".")[0]):
        in_table = list(group)
        columns = [METADATA.tables[table].c[path.partition(".")[2]] for path in in_table]
        rows = connection.execute(sa.select(*columns).distinct()).all()
        for place, path in enumerate(in_table):
            found[path] = {row[place] for row in rows if row[place] is not None}
    return {name: _dtype(enumeration, found) for name, enumeration in enumerations.items()}


def _dtype(enumeration: Enumeration, found: dict[str, set[str]]) -> pd.CategoricalDtype:
    others = set().union(*(found[path] for path in enumeration.columns)).difference(enumeration.known)
    return pd.CategoricalDtype(pd.Index([*enumeration.known, *sorted(others)], dtype="str"))


def _select(selection: Selection, names: Sequence[str], dialect: str) -> sa.Select[Any]:
    columns, types = selection.columns, selection.types
    query = sa.select(*(as_stored(columns[name], types[name], dialect).label(name) for name in names))
    if selection.conditions:
        query = query.select_from(selection.timed_from).where(*selection.conditions)
    return query.order_by(*(_sorted(columns[name], dialect) for name in selection.order))


def _sorted(column: sa.ColumnElement[Any], dialect: str) -> sa.ColumnElement[Any]:
    """Sort by code point as SQLite and Python do, whatever the server's locale, with nulls last."""
    if dialect != "sqlite" and isinstance(column.type, sa.Text):
        column = sa.collate(column, "C")
    return column.asc().nulls_last()
