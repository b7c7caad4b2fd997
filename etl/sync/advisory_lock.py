"""
The writer's lock on Postgres: an advisory lock held by the session that writes.

A process that loses the session loses the lock with it, and can no longer write.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import TYPE_CHECKING

import sqlalchemy as sa

from etl.database.postgres import parse_writer_name
from etl.database.session_settings import location_of, pinned_session
from etl.errors import SyncRunning, TransactionPooler
from etl.sync.lock_holder import Holder, busy_message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.stop import Stop

# The lock has two 32-bit numbers: this product, and the schema that is written. Older releases use the same.
_PRODUCT = 0x6763_6F72
_POLL_SECONDS = 0.2
_LOCK = sa.text("SELECT pg_try_advisory_lock(:product, hashtext(coalesce(current_schema(), '')))")
_UNLOCK = sa.text("SELECT pg_advisory_unlock(:product, hashtext(coalesce(current_schema(), '')))")
# A role without the right to see other roles' sessions still sees these columns, except `backend_start`.
# Any program may take a lock with these numbers, and several may share it.
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
def locked_session(connection: sa.Connection, *, wait: bool, stop: Stop) -> Iterator[None]:
    """
    Hold the lock in the connection's session for the length of the block.

    Raises SyncRunning, which names the holder, if another session holds it, unless told to wait until the
    `stop` is set; TransactionPooler if a pooler does not keep the session.
    """
    with connection.begin():
        location = location_of(connection)
        if location is not None:
            location.require_schema()
    with pinned_session(connection):
        while not _try_lock(connection):
            if not wait:
                with connection.begin():
                    raise SyncRunning(busy_message(_find_holder(connection)))
            stop.wait(_POLL_SECONDS)
        try:
            yield
        finally:
            _give_back(connection)


def _try_lock(connection: sa.Connection) -> bool:
    """Take the lock if it is free, and return whether that succeeded."""
    with connection.begin():
        return _find_holder(connection) is None and bool(connection.scalar(_LOCK, {"product": _PRODUCT}))


def _find_holder(connection: sa.Connection) -> Holder | None:
    row = connection.execute(_HOLDER, {"product": _PRODUCT}).mappings().one_or_none()
    if row is None:
        return None
    if row["is_this_session"]:
        # This process does not hold it yet: a pooler gave it a session that another process has used.
        raise TransactionPooler
    since = row["since"] and dt.datetime.fromisoformat(row["since"]).replace(tzinfo=dt.UTC)
    if named := parse_writer_name(row["application_name"] or ""):
        return Holder(process=named[0], host=named[1], since=since or named[2])
    role = f", role {row['usename']}" if row["usename"] else ""
    return Holder(process=f"{row['pid']} of the server{role}", host=None, since=since)


def _give_back(connection: sa.Connection) -> None:
    """Release the lock now; a session that was lost has lost it already."""
    if connection.invalidated:
        return
    with contextlib.suppress(sa.exc.DBAPIError, TransactionPooler):
        if connection.in_transaction():
            connection.rollback()
        with connection.begin():
            connection.execute(_UNLOCK, {"product": _PRODUCT})
