"""
The Postgres settings that our statements rely on, set for one transaction at a time.

The server, the database, the role, PGOPTIONS and the URL may all change them, and a pooler may share the
session with other programs. So they are set at the start of each transaction, for that transaction only
(SET LOCAL).
"""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from etl.database.pooler import detect_pooler
from etl.database.search_path import Location, locate, quoted
from etl.errors import DatabaseError, TransactionPooler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

# Formats of values.
_FORMATS = {
    "bytea_output": "hex",
    "datestyle": "ISO, MDY",
    "extra_float_digits": "3",
    "intervalstyle": "postgres",
    "standard_conforming_strings": "on",
    "timezone": "UTC",
}
# Limits that would abort a statement or change its result.
_LIMITS = {
    "gin_fuzzy_search_limit": "0",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": "0",
    "quote_all_identifiers": "off",
    "statement_timeout": "0",
}
# The first versions of Postgres that have these settings.
_TRANSACTION_TIMEOUT = (17,)
_IDLE_SESSION_TIMEOUT = (14,)

# Keys of `Connection.info`, which lasts as long as the connection to the server.
_LOCATION = "gcore_etl_location"
_BACKEND = "gcore_etl_backend"


def prepare_transaction(connection: Connection, *, is_writer: bool) -> None:
    """
    Set everything that our statements rely on, in a transaction that has just begun.

    Raises DatabaseError if the database has an unusable encoding or schema, and TransactionPooler if a
    pinned session was lost.
    """
    settings = {**_FORMATS, **_LIMITS, "row_security": "off" if is_writer else "on"}
    if (connection.dialect.server_version_info or ()) >= _TRANSACTION_TIMEOUT:
        settings["transaction_timeout"] = "0"
    location = location_of(connection)
    # A writer stays in the schema of its lock; a reader switches when the first sync creates the tables.
    if location is None or location.schema is None or not (is_writer or location.schema.has_copy):
        _set(connection, settings)  # without time limits for `locate`
        location = locate(connection)
        location.refuse_unusable()
        connection.info[_LOCATION] = location
    backend, schema = _set(connection, {**settings, "search_path": _search_path(location)})
    if is_writer and location.schema is not None and schema != location.schema.name:
        # Tables would be created as temporary tables and lost with the session.
        raise DatabaseError(
            f"schema {location.schema.name} was dropped or renamed, or its privileges were revoked: "
            "run the command again"
        )
    if connection.info.get(_BACKEND, backend) != backend:
        raise TransactionPooler


def location_of(connection: Connection) -> Location | None:
    """Return where this session looks for the copy; None on SQLite and for engines of other programs."""
    location: Location | None = connection.info.get(_LOCATION)
    return location


@contextlib.contextmanager
def pinned_session(connection: Connection) -> Iterator[None]:
    """
    Keep the connection's Postgres session during the block, even while it is idle. No effect on SQLite.

    Raises TransactionPooler if a pooler may replace the session. Behind a pooler, session state is reset at
    the end, because another client gets the session next.
    """
    if connection.dialect.name != "postgresql":
        yield
        return
    has_pooler = detect_pooler(connection)
    has_timeout = (connection.dialect.server_version_info or ()) >= _IDLE_SESSION_TIMEOUT
    with connection.begin():
        backend = connection.scalar(sa.text("SELECT pg_backend_pid()"))
        if has_timeout:
            connection.execute(sa.text("SELECT set_config('idle_session_timeout', '0', false)"))
    connection.info[_BACKEND] = backend
    try:
        yield
    finally:
        # A lost session needs no reset.
        if has_pooler and not connection.invalidated:
            with contextlib.suppress(DBAPIError, TransactionPooler), connection.begin():
                connection.exec_driver_sql("DISCARD TEMPORARY")
                if has_timeout:
                    connection.exec_driver_sql("RESET idle_session_timeout")


def reader_settings(connection: Connection) -> Callable[[], AbstractContextManager[None]]:
    """
    Return a context manager factory that prepares a caller's own connection for reading the copy.

    Each context sets the formats and the search path, and restores the previous values at the end. It
    requires a transaction. Raises DatabaseError if the database has an unusable encoding or schema.
    """
    if location_of(connection) is not None:
        return contextlib.nullcontext
    location = locate(connection)
    location.refuse_unusable()
    wanted = {**_FORMATS, "client_encoding": "UTF8", "search_path": _search_path(location)}
    return functools.partial(_temporary_settings, connection, wanted)


@contextlib.contextmanager
def _temporary_settings(connection: Connection, wanted: Mapping[str, str]) -> Iterator[None]:
    names = ", ".join(f"current_setting('{name}')" for name in wanted)
    before = dict(zip(wanted, connection.execute(sa.text(f"SELECT {names}")).one(), strict=True))
    _set(connection, wanted)
    try:
        yield
    finally:
        # In a failed transaction nothing can be set; the rollback restores the values.
        with contextlib.suppress(DBAPIError):
            _set(connection, before)


def _set(connection: Connection, settings: Mapping[str, str]) -> tuple[int, str | None]:
    """Set these for the transaction; return the backend's process id and the current schema."""
    calls = ", ".join(f"set_config('{name}', :{name}, true)" for name in settings)
    statement = sa.text(f"SELECT pg_backend_pid(), {calls}, current_schema()")
    row = connection.execute(statement, settings).one()
    return int(row[0]), row[-1]


def _search_path(location: Location) -> str:
    """Return the search path for a schema. Temporary tables come last, so they cannot hide ours."""
    return "pg_temp" if location.schema is None else f"{quoted(location.schema.name)}, pg_temp"
