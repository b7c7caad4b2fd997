"""
Detection of connection poolers, and of poolers that do not keep a client's session.

In transaction mode, a pooler such as PgBouncer runs each transaction in any free session. But the writer's
lock and its temporary tables belong to one session, and settings would leak to other clients.
"""

from __future__ import annotations

import functools
import selectors
import time
from typing import TYPE_CHECKING, cast

from etl.errors import DatabaseError, TransactionPooler
from etl.secret import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import Connection as PostgresConnection
    from sqlalchemy import Connection

_BACKEND = b"SELECT pg_backend_pid()"
_ROUNDS = 6
# A session that is reset after each transaction becomes available again after a short while.
_RESET_SECONDS = 0.02
# How long a pooler may take to find a session for a second client.
TIMEOUT_SECONDS = 3.0


def detect_pooler(connection: Connection) -> bool:
    """
    Return whether this connection goes through a pooler. It must not be in a transaction.

    Raises TransactionPooler if the pooler does not keep the session between transactions, and DatabaseError
    if that cannot be determined.
    """
    import psycopg  # noqa: PLC0415 - an extra

    mine = cast("PostgresConnection", connection.connection.driver_connection)
    try:
        # A pooler reports made-up process ids to its clients.
        backend = _ask(mine, _BACKEND, must_answer=True)
        if backend == mine.info.backend_pid:
            return False
        other = connection.engine.raw_connection()
        try:
            ask_other = functools.partial(_ask, cast("PostgresConnection", other.driver_connection))
            is_kept = keeps_session(functools.partial(_ask, mine), ask_other, backend)
        finally:
            other.invalidate()  # it may still be waiting for a response
    except psycopg.Error as error:
        message = clean(" ".join(str(error).split()))
        raise DatabaseError(f"the database, or a pooler in front of it, cannot be used: {message}") from error
    if not is_kept:
        connection.invalidate()
        raise TransactionPooler
    return True


def keeps_session(
    ask: Callable[[bytes], int | None],
    ask_other: Callable[[bytes], int | None],
    backend: int | None,
    *,
    sleep: Callable[[float], object] = time.sleep,
) -> bool:
    """
    Return whether the connection that `ask` sends statements to keeps the session of this backend process.

    A second connection occupies a session in each round. If the first connection keeps its session, the two
    never have the same backend. Otherwise they eventually do, or the first one moves to another backend.
    """
    for number in range(_ROUNDS):
        other_backend = ask_other(b"BEGIN; " + _BACKEND)
        # If no session is free, a connection without one would wait for the second connection.
        is_kept = other_backend != backend and ask(_BACKEND) == backend
        if other_backend is None:
            return is_kept
        ask_other(b"ROLLBACK")
        # Most poolers reuse the most recently used session, some the least recently used one.
        if is_kept and number % 2:
            sleep(_RESET_SECONDS)
            is_kept = ask(_BACKEND) == backend
        if not is_kept:
            return False
    return True


def _ask(connection: PostgresConnection, statements: bytes, *, must_answer: bool = False) -> int | None:
    """
    Return the number that the statements select; None if it takes too long, unless `must_answer`.

    They are sent through libpq, because the driver would begin a transaction first.
    """
    libpq = connection.pgconn
    libpq.send_query(statements)
    libpq.flush()
    number: int | None = None
    deadline = None if must_answer else time.monotonic() + TIMEOUT_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(libpq.socket, selectors.EVENT_READ)
        while True:
            while libpq.is_busy():
                if not selector.select(deadline and max(0.0, deadline - time.monotonic())):
                    return None
                libpq.consume_input()
            result = libpq.get_result()
            if result is None:
                return number
            if result.ntuples:
                number = int(result.get_value(0, 0) or b"0")
