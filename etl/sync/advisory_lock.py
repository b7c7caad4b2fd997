"""
The writer's lock on Postgres: an advisory lock of the session that writes, and of no other.

Whoever loses the session loses the lock with it, and can write no more.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import time
from typing import TYPE_CHECKING

import sqlalchemy as sa

from etl.database import location_of, parse_writer_name, pinned_session
from etl.errors import SyncRunning, TransactionPooler
from etl.sync.lock_holder import Holder, busy_message

if TYPE_CHECKING:
    from collections.abc import Iterator

# Two 32-bit numbers: this product, and the schema whose tables are written. Older releases ask for the same.
_PRODUCT = 0x6763_6F72
_POLL_SECONDS = 0.2
_LOCK = sa.text("SELECT pg_try_advisory_lock(:product, hashtext(coalesce(current_schema(), '')))")
_UNLOCK = sa.text("SELECT pg_advisory_unlock(:product, hashtext(coalesce(current_schema(), '')))")
# A role that may not see much of other roles' sessions still sees these columns, without `backend_start`.
# Anybody may take a lock of these numbers, and several may share it.
_HOLDER = sa.text(
    "SELECT pid, pid = pg_backend_pid() AS is_this_session, usename, application_name,"
    " to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS since"
    " FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)"
    " WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid = :product"
    " AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())"
    " AND objid = CAST(CAST(hashtext(coalesce(current_schema(), '')) AS bigint) & 4294967295 AS oid)"
    " ORDER BY is_this_session DESC, backend_start, pid LIMIT 1"
)


@contextlib.contextmanager
def locked_session(connection: sa.Connection, *, wait: bool) -> Iterator[None]:
    """
    Hold the lock in the connection's session for as long as the block lasts.

    Raises SyncRunning with its holder if another session has it, unless told to wait; TransactionPooler where
    no session lasts.
    """
    with connection.begin():
        location = location_of(connection)
        if location is not None:
            location.require_schema()
    with pinned_session(connection):
        take_lock(connection, seconds=math.inf if wait else 0)
        try:
            yield
        finally:
            _give_back(connection)


def take_lock(connection: sa.Connection, *, seconds: float) -> None:
    """Take the lock, and raise SyncRunning if somebody else still has it after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        with connection.begin():
            holder = _find_holder(connection)
            if holder is None:
                if connection.scalar(_LOCK, {"product": _PRODUCT}):
                    return
                holder = _find_holder(connection)
        if time.monotonic() >= deadline:
            raise SyncRunning(busy_message(holder))
        time.sleep(_POLL_SECONDS)


def _find_holder(connection: sa.Connection) -> Holder | None:
    row = connection.execute(_HOLDER, {"product": _PRODUCT}).mappings().one_or_none()
    if row is None:
        return None
    if row["is_this_session"]:
        # This process does not have it yet: the session was somebody else's, and may be so again.
        raise TransactionPooler
    since = row["since"] and dt.datetime.fromisoformat(row["since"]).replace(tzinfo=dt.UTC)
    if named := parse_writer_name(row["application_name"] or ""):
        return Holder(process=named[0], host=named[1], since=since or named[2])
    role = f", role {row['usename']}" if row["usename"] else ""
    return Holder(process=f"{row['pid']} of the server{role}", host=None, since=since)


def _give_back(connection: sa.Connection) -> None:
    """Give the lock back now; a session that is lost has lost it already."""
    if connection.invalidated:
        return
    with contextlib.suppress(sa.exc.DBAPIError, TransactionPooler):
        if connection.in_transaction():
            connection.rollback()
        with connection.begin():
            connection.execute(_UNLOCK, {"product": _PRODUCT})
