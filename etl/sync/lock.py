"""
One writer.

SQLite: a lock on a file beside the database, see `etl.sync.file_lock`. Postgres: an advisory lock of the very
session that writes, see `etl.sync.advisory_lock`; whoever lost the lock has lost the connection too and can
write no more.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from etl.sync.advisory_lock import locked_session, take_lock
from etl.sync.file_lock import file_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

# How long a server may take to notice that its session was given up.
_SECONDS_TO_CLOSE = 1.0


@contextlib.contextmanager
def writer(engine: sa.Engine, *, wait: bool = False) -> Iterator[sa.Connection]:
    """
    Give the one connection that may write, for as long as the block lasts.

    Raises SyncRunning if another process has it, unless told to wait.
    """
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection, locked_session(connection, wait=wait):
            yield connection
    else:
        with file_lock(Path(engine.url.database or ""), wait=wait), engine.connect() as connection:
            yield connection


def abandon_transaction(connection: sa.Connection) -> None:
    """
    End what a signal left half done, so that the writer can say one thing more.

    SQLAlchemy may have forgotten a transaction that the driver still has. Where the driver was in the middle
    of a statement, the session is given up for a new one, which must get the lock itself: SyncRunning if
    another process was quicker.
    """
    try:
        connection.rollback()
        connection.connection.rollback()
    except (sa.exc.DBAPIError, connection.dialect.loaded_dbapi.Error):
        with contextlib.suppress(Exception):  # whether the server still listens, or not
            connection.connection.driver_connection.cancel()  # type: ignore[union-attr]
        connection.invalidate()
        if connection.dialect.name == "postgresql":
            take_lock(connection, seconds=_SECONDS_TO_CLOSE)
