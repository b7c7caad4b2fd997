"""
Whether a connection to Postgres keeps its session from one transaction to the next.

Behind a pooler such as PgBouncer it may not: in transaction mode each transaction gets whichever session is
free. The writer's lock and temporary tables belong to a session, and settings would stay on somebody else's.
"""

from __future__ import annotations

import contextlib
import selectors
import time
from typing import TYPE_CHECKING, cast

from etl.errors import DatabaseError, TransactionPooler
from etl.secret import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection as PostgresConnection
    from sqlalchemy import Connection

_BACKEND = b"SELECT pg_backend_pid()"
_ROUNDS = 6
# A session that is cleaned up after each transaction is handed out again only a little later.
_PAUSE = 0.02
# How long a pooler may take to find a session for one more client.
_PATIENCE = 3.0


def find_pooler(connection: Connection) -> bool:
    """
    Return whether a pooler, and not the server itself, answers this connection, outside any transaction.

    Raises TransactionPooler if it may give the connection another session for each transaction, and
    DatabaseError if that cannot be found out.
    """
    import psycopg  # noqa: PLC0415 - an extra

    mine = cast("PostgresConnection", connection.connection.driver_connection)
    try:
        # A pooler gives its clients process ids of its own making.
        backend = _ask(mine, _BACKEND, must_answer=True)
        if backend == mine.info.backend_pid:
            return False
        keeps_session = _keeps_session(mine, backend, connection)
    except psycopg.Error as error:
        line = clean(" ".join(str(error).split()))
        raise DatabaseError(f"the database, or a pooler before it, cannot be used: {line}") from error
    if not keeps_session:
        connection.invalidate()
        raise TransactionPooler
    return True


def _keeps_session(mine: PostgresConnection, backend: int | None, connection: Connection) -> bool:
    """
    Return whether the connection still has the session with this process whatever others do.

    A second connection occupies a session. If the first keeps its own, that is never the same; if not, it is
    the same sooner or later, or else the first has moved to another.
    """
    with _second_like(connection) as other:
        for number in range(_ROUNDS):
            found = _ask(other, b"BEGIN; " + _BACKEND)
            # If all sessions are taken, whoever has none would queue behind the second connection.
            is_kept = found != backend and _ask(mine, _BACKEND) == backend
            if found is None:
                return is_kept
            _ask(other, b"ROLLBACK")
            # Most poolers hand out the session that was used last, some the one that was not for longest.
            if is_kept and number % 2:
                time.sleep(_PAUSE)
                is_kept = _ask(mine, _BACKEND) == backend
            if not is_kept:
                return False
    return True


@contextlib.contextmanager
def _second_like(connection: Connection) -> Iterator[PostgresConnection]:
    """Open one more connection, and close it for good: it may still wait for an answer."""
    other = connection.engine.raw_connection()
    try:
        yield cast("PostgresConnection", other.driver_connection)
    finally:
        other.invalidate()


def _ask(connection: PostgresConnection, statements: bytes, *, must_answer: bool = False) -> int | None:
    """
    Return the number that the statements give, None if they give none in time, unless they must.

    They are sent as they are: the driver would begin a transaction first.
    """
    line = connection.pgconn
    line.send_query(statements)
    line.flush()
    number: int | None = None
    deadline = None if must_answer else time.monotonic() + _PATIENCE
    with selectors.DefaultSelector() as selector:
        selector.register(line.socket, selectors.EVENT_READ)
        while True:
            while line.is_busy():
                if not selector.select(deadline and max(0.0, deadline - time.monotonic())):
                    return None
                line.consume_input()
            result = line.get_result()
            if result is None:
                return number
            if result.ntuples:
                number = int(result.get_value(0, 0) or b"0")
