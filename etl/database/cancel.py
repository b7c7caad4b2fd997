"""Cancels the statement in progress through its driver when a stop is requested."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from etl.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from etl.stop import Stop

# How long a server may take to confirm that it cancels; then its connection is cut.
_CANCEL_SECONDS = 1.0


@contextlib.contextmanager
def cancelled_on_stop(connection: Connection, stop: Stop) -> Iterator[None]:
    """
    Cancel the statement in progress in this block when the stop is set, and raise the stop's own error.

    The connection can be used after the block: a cancelled transaction is rolled back as after any error,
    and nothing is cancelled any more.
    """
    stop.check()
    cancel = _canceller(connection)
    try:
        with stop.on_stop(cancel):
            yield
    except (DBAPIError, connection.dialect.loaded_dbapi.Error, DatabaseError) as error:
        if stop.error is None:
            raise
        raise stop.error from error


def _canceller(connection: Connection) -> Callable[[], object]:
    # Both drivers allow this call, and only such calls, from another thread.
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name != "postgresql":
        return driver.interrupt  # type: ignore[no-any-return]  # typed by the driver, not by SQLAlchemy
    errors = (connection.dialect.loaded_dbapi.Error, OSError)

    def cancel() -> None:
        try:
            driver.cancel_safe(timeout=_CANCEL_SECONDS)
        except errors:
            # The server does not answer. A duplicate leaves the driver its descriptor.
            with contextlib.suppress(*errors), socket.socket(fileno=os.dup(driver.fileno())) as duplicate:
                duplicate.shutdown(socket.SHUT_RDWR)

    return cancel
