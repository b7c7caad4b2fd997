"""
One writer.

SQLite: a lock on a file beside the database, see `etl.sync.file_lock`. Postgres: an advisory lock of the very
session that writes, so that whoever lost the lock has lost the connection too and can write no more.
"""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from etl.errors import SyncRunning
from etl.sync.file_lock import file_lock
from etl.sync.lock_holder import busy_message

if TYPE_CHECKING:
    from collections.abc import Iterator

# Two 32-bit numbers: this product, and the schema whose tables are written.
_PRODUCT = 0x6763_6F72
_POLL_SECONDS = 0.2
# How long a server may take to notice that its session was given up.
_SECONDS_TO_CLOSE = 1.0


@contextlib.contextmanager
def writer(engine: sa.Engine, *, wait: bool = False) -> Iterator[sa.Connection]:
    """
    Give the one connection that may write, for as long as the block lasts.

    Raises SyncRunning if another process has it, unless told to wait.
    """
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            _lock_session(connection, seconds=math.inf if wait else 0)
            try:
                yield connection
            finally:
                _unlock_session(connection)
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
            _lock_session(connection, seconds=_SECONDS_TO_CLOSE)


def _lock_session(connection: sa.Connection, *, seconds: float) -> None:
    query = sa.text("SELECT pg_try_advisory_lock(:product, hashtext(coalesce(current_schema(), '')))")
    deadline = time.monotonic() + seconds
    while True:
        with connection.begin():
            if connection.scalar(query, {"product": _PRODUCT}):
                return
        if time.monotonic() >= deadline:
            raise SyncRunning(busy_message(None))
        time.sleep(_POLL_SECONDS)


def _unlock_session(connection: sa.Connection) -> None:
    """Give the lock back now; a session that is lost has lost it already."""
    with contextlib.suppress(sa.exc.DBAPIError):
        if connection.in_transaction():
            connection.rollback()
        with connection.begin():
            connection.execute(sa.text("SELECT pg_advisory_unlock_all()"))
