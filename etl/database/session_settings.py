"""
The settings of a Postgres session that our statements rely on, each for one transaction only.

A server, a database, a role, PGOPTIONS and the URL may set any of them, and a pooler may share the session
with other programs. So they are set where a transaction begins, and are gone when it ends.
"""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from etl.database.pooler import find_pooler
from etl.database.search_path import Location, locate, quoted
from etl.errors import DatabaseError, TransactionPooler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

# How values are written and read.
_FORMATS = {
    "bytea_output": "hex",
    "datestyle": "ISO, MDY",
    "extra_float_digits": "3",
    "intervalstyle": "postgres",
    "standard_conforming_strings": "on",
    "timezone": "UTC",
}
# What would end a statement before it is done, or give another answer.
_LIMITS = {
    "gin_fuzzy_search_limit": "0",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": "0",
    "quote_all_identifiers": "off",
    "statement_timeout": "0",
}
_FIRST_WITH_TRANSACTION_TIMEOUT = (17,)
_FIRST_WITH_IDLE_SESSION_TIMEOUT = (14,)

# Keys of `Connection.info`, which is forgotten with the connection to the server.
_LOCATION = "gcore_etl_location"
_BACKEND = "gcore_etl_backend"


def prepare_transaction(connection: Connection, *, is_writer: bool) -> None:
    """
    Make the transaction that has just begun independent of whatever set up its session.

    Raises DatabaseError if the database cannot be used as it is, and TransactionPooler if the connection has
    to keep its session and lost it.
    """
    settings = {**_FORMATS, **_LIMITS, "row_security": "off" if is_writer else "on"}
    if _version(connection) >= _FIRST_WITH_TRANSACTION_TIMEOUT:
        settings["transaction_timeout"] = "0"
    location = location_of(connection)
    # A writer stays where its lock is; a reader goes where the first sync makes the tables.
    if location is None or not location.is_settled(for_writer=is_writer):
        _set(connection, settings)  # to look for it may take long, too
        location = locate(connection)
        location.refuse_unusable()
        connection.info[_LOCATION] = location
    backend, schema = _set(connection, {**settings, "search_path": _only(location)})
    if is_writer and location.schema is not None and schema != location.schema.name:
        # Tables would be made among the temporary ones, and be gone with the session.
        raise DatabaseError(
            f"schema {location.schema.name} was dropped or renamed, or may not be used any more: run again"
        )
    if connection.info.get(_BACKEND, backend) != backend:
        raise TransactionPooler


def location_of(connection: Connection) -> Location | None:
    """Return where this session looks for the copy; None on SQLite, and for an engine that is not ours."""
    location: Location | None = connection.info.get(_LOCATION)
    return location


@contextlib.contextmanager
def lasting_session(connection: Connection) -> Iterator[None]:
    """
    Keep the connection's session for as long as the block lasts, also while it has nothing to do.

    Raises TransactionPooler if it would not. What is set for the session is taken back at the end: behind a
    pooler somebody else gets it next. On SQLite there is nothing to keep.
    """
    if connection.dialect.name != "postgresql":
        yield
        return
    has_pooler = find_pooler(connection)
    has_timeout = _version(connection) >= _FIRST_WITH_IDLE_SESSION_TIMEOUT
    with connection.begin():
        backend = connection.scalar(sa.text("SELECT pg_backend_pid()"))
        if has_timeout:
            connection.execute(sa.text("SELECT set_config('idle_session_timeout', '0', false)"))
    connection.info[_BACKEND] = backend
    try:
        yield
    finally:
        # A session that is lost has nothing to be taken back.
        if has_pooler and not connection.invalidated:
            with contextlib.suppress(DBAPIError, TransactionPooler), connection.begin():
                connection.exec_driver_sql("DISCARD TEMPORARY")
                if has_timeout:
                    connection.exec_driver_sql("RESET idle_session_timeout")


def exact_reading(connection: Connection) -> Callable[[], AbstractContextManager[None]]:
    """
    Return what makes a connection of somebody else's read exactly, and in the schema of the copy.

    Each time, for as long as a block lasts; then its settings are what they were before. It needs a
    transaction. Raises DatabaseError if the database cannot be used as it is.
    """
    if location_of(connection) is not None:
        return contextlib.nullcontext
    location = locate(connection)
    location.refuse_unusable()
    wanted = {**_FORMATS, "client_encoding": "UTF8", "search_path": _only(location)}
    return functools.partial(_setting_for_a_while, connection, wanted)


@contextlib.contextmanager
def _setting_for_a_while(connection: Connection, wanted: Mapping[str, str]) -> Iterator[None]:
    names = ", ".join(f"current_setting('{name}')" for name in wanted)
    before = dict(zip(wanted, connection.execute(sa.text(f"SELECT {names}")).one(), strict=True))
    _set(connection, wanted)
    try:
        yield
    finally:
        # In a transaction that has failed nothing can be set, and its end takes everything back.
        with contextlib.suppress(DBAPIError):
            _set(connection, before)


def _set(connection: Connection, settings: Mapping[str, str]) -> tuple[int, str | None]:
    """Set these for the transaction, and return the server's process and the schema where tables are made."""
    row = connection.execute(_setting_statement(tuple(settings)), settings).one()
    return int(row[0]), row[-1]


@functools.cache
def _setting_statement(names: tuple[str, ...]) -> sa.TextClause:
    calls = ", ".join(f"set_config('{name}', :{name}, true)" for name in names)
    return sa.text(f"SELECT pg_backend_pid(), {calls}, current_schema()")


def _only(location: Location) -> str:
    """Return the search path of one schema; somebody's temporary tables must not stand before ours."""
    return "pg_temp" if location.schema is None else f"{quoted(location.schema.name)}, pg_temp"


def _version(connection: Connection) -> tuple[int, ...]:
    return tuple(int(part) for part in connection.dialect.server_version_info or ())
