"""Cancels the statement in progress through its driver when a stop is requested."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from etl.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from etl.stop import Stop

# How long a server may take to confirm that it cancels; then its connection is cut.
_CANCEL_SECONDS = 1.0
# After so many of its instructions, SQLite asks whether to go on.
_INSTRUCTIONS = 100_000


@contextlib.contextmanager
def cancelled_on_stop(connection: Connection, stop: Stop) -> Iterator[None]:
    """
    Cancel the statement in progress in this block when the stop is set, and raise the stop's own error.

    The connection can be used after the block: a cancelled transaction is rolled back as after any error,
    and nothing is cancelled any more.
    """
    stop.check()
    is_postgres = connection.dialect.name == "postgresql"
    cancelled = _cancelled_by_server if is_postgres else _cancelled_by_sqlite
    try:
        with cancelled(connection, stop):
            yield
    except (DBAPIError, connection.dialect.loaded_dbapi.Error, DatabaseError) as error:
        if stop.error is None:
            raise
        raise stop.error from error


@contextlib.contextmanager
def _cancelled_by_sqlite(connection: Connection, stop: Stop) -> Iterator[None]:
    """
    Let SQLite ask, during a statement, whether the stop is set.

    `sqlite3.Connection.interrupt` would not do: it cancels every statement until none is active, and the
    full-text index keeps one active until its transaction ends. Not even a rollback could end it.
    """
    driver: Any = connection.connection.driver_connection
    driver.set_progress_handler(stop.is_set, _INSTRUCTIONS)
    try:
        yield
    finally:
        driver.set_progress_handler(None, 0)


@contextlib.contextmanager
def _cancelled_by_server(connection: Connection, stop: Stop) -> Iterator[None]:
    driver: Any = connection.connection.driver_connection
    errors = (connection.dialect.loaded_dbapi.Error, OSError)

    # The driver allows this call, and only such calls, from another thread.
    def cancel() -> None:
        try:
            driver.cancel_safe(timeout=_CANCEL_SECONDS)
        except errors:
            # The server does not answer. A duplicate leaves the driver its descriptor.
            with contextlib.suppress(*errors), socket.socket(fileno=os.dup(driver.fileno())) as duplicate:
                duplicate.shutdown(socket.SHUT_RDWR)

    with stop.on_stop(cancel):
        yield
