"""From the database to arrays, so many rows at a time."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeAlias

import pandas as pd
import sqlalchemy as sa

from etl.database import database_errors, ensure_schema, explain_missing_privileges, reader_settings, reading
from etl.errors import ConfigurationError
from etl.frames.dtypes import as_stored, to_array
from etl.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from etl.frames.catalog import Enumeration, Relation
    from etl.frames.dtypes import Array, DtypeBackend

    Exactly = Callable[[], AbstractContextManager[None]]

Source: TypeAlias = str | sa.Engine | sa.Connection | None

_READ_ONLY: dict[str, dict[str, Any]] = {
    "sqlite": {"sqlite_begin": "DEFERRED"},
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
}


def iter_blocks(  # noqa: PLR0913, PLR0917 (what a read is made of)
    source: Source,
    relation: Relation,
    names: Sequence[str],
    bounds: Sequence[sa.ColumnElement[bool]],
    size: int,
    backend: DtypeBackend | None = None,
) -> Iterator[list[Array]]:
    """Give the columns of `size` rows at a time, all of one instant; of no rows, empty ones, once."""
    enumerations = {name: relation.enumerations[name] for name in names if name in relation.enumerations}
    types = [relation.columns[name].type for name in names]
    with _opened(source) as (connection, reading_exactly):
        with reading_exactly():
            words = _words(connection, enumerations)
            query = _select(relation, names, bounds, connection.dialect.name)
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
                    to_array(values, stored, words.get(name), backend)
                    for name, values, stored in zip(names, columns, types, strict=True)
                ]
                is_first = False


@contextlib.contextmanager
def connected(source: Source) -> Iterator[sa.Connection]:
    """
    Give a connection inside one read-only transaction.

    An engine is used as it is, whoever made it: it may hold what its URL does not say. So is a
    connection, with its transaction: what is read over it twice is of one instant, if that sees only one.
    Its settings are changed only while the block lasts.
    """
    with _opened(source) as (connection, reading_exactly), reading_exactly():
        yield connection


@contextlib.contextmanager
def _opened(source: Source) -> Iterator[tuple[sa.Connection, Exactly]]:
    """Give a connection and what to read it in: a user's own must keep its settings in between."""
    if not isinstance(source, (str, sa.Engine, sa.Connection, type(None))):
        raise TypeError(f"{source!r} is neither a database URL nor a SQLAlchemy engine or connection")
    if not isinstance(source, (sa.Engine, sa.Connection)):
        with reading(Settings.load().database_url if source is None else source) as connection:
            yield connection, contextlib.nullcontext
        return
    dialect = source.dialect.name
    if dialect not in _READ_ONLY:
        raise ConfigurationError(
            f"{dialect} databases are not supported: give an engine of SQLite or Postgres"
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


def _checked(connection: sa.Connection) -> Exactly:
    """Return what to read over a user's connection in; raises DatabaseError if there is nothing to read."""
    is_postgres = connection.dialect.name == "postgresql"
    reading_exactly = reader_settings(connection) if is_postgres else contextlib.nullcontext
    with reading_exactly():
        ensure_schema(connection, migrate=False)
    return reading_exactly


def _begin(connection: sa.Connection) -> None:
    """Hold on to one instant: Python's own driver begins no transaction before a SELECT."""
    if not getattr(connection.connection.driver_connection, "in_transaction", False):
        connection.exec_driver_sql("BEGIN")


def _words(
    connection: sa.Connection, enumerations: Mapping[str, Enumeration]
) -> dict[str, pd.CategoricalDtype]:
    """
    Look up which words each enumeration has.

    In the whole of the column they come from, and not in what is read: so the frames of all chunks, ranges
    and views have one dtype, and pandas can put them together.
    """
    homes: dict[sa.Table, dict[sa.Column[Any], None]] = {}
    for enumeration in enumerations.values():
        for column in enumeration.home:
            homes.setdefault(column.table, {})[column] = None
    found: dict[sa.Column[Any], set[str]] = {}
    for columns in homes.values():
        rows = connection.execute(sa.select(*columns).distinct()).all()
        for place, column in enumerate(columns):
            found[column] = {row[place] for row in rows if row[place] is not None}
    return {name: _dtype(enumeration, found) for name, enumeration in enumerations.items()}


def _dtype(enumeration: Enumeration, found: Mapping[sa.Column[Any], set[str]]) -> pd.CategoricalDtype:
    others = set().union(*(found[column] for column in enumeration.home)).difference(enumeration.known)
    return pd.CategoricalDtype(pd.Index([*enumeration.known, *sorted(others)], dtype="str"))


def _select(
    relation: Relation, names: Sequence[str], bounds: Sequence[sa.ColumnElement[bool]], dialect: str
) -> sa.Select[Any]:
    query = sa.select(*(as_stored(relation.columns[name], dialect).label(name) for name in names))
    if bounds or relation.conditions:
        query = query.select_from(relation.timed).where(*bounds, *relation.conditions)
    return query.order_by(*(_sorted(relation.columns[name], dialect) for name in relation.order))


def _sorted(column: sa.ColumnElement[Any], dialect: str) -> sa.ColumnElement[Any]:
    """Sort as SQLite and Python do, whatever language the Postgres server speaks; null comes last."""
    if dialect != "sqlite" and isinstance(column.type, sa.Text):
        column = sa.collate(column, "C")
    return column.asc().nulls_last()
