"""A trial of what a sync does to a Postgres database, in a transaction that is rolled back."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from etl.database import current_revision, ensure_schema, head_revision
from etl.database.privileges import require_sync_privileges, require_upgrade_privileges, sequences_behind
from etl.enums import RunMode, RunStatus
from etl.load.removals import SeenTasks
from etl.models import RUNS, STATE

if TYPE_CHECKING:
    from sqlalchemy import Connection

# No run has this number, so no number is skipped.
_NO_RUN = 0
# SQLSTATEs: no lock in time, or a statement that took too long.
_GIVEN_UP = {"55P03", "57014"}


def rehearse(connection: Connection) -> str:
    """
    Do what a sync does before its first request, roll it back, and return the name of the schema used.

    The connection must hold the writer's lock. Raises what a sync would raise. An upgrade locks readers out:
    it is abandoned, and taken to be possible, if it has to wait for them or takes more than a few seconds.
    """
    transaction = connection.begin()
    try:
        schema = str(connection.scalar(sa.text("SELECT current_schema()")))
        if current_revision(connection) not in {None, head_revision()}:
            require_upgrade_privileges(connection)
            if not _upgrade(connection):
                return schema
        else:
            ensure_schema(connection)
        require_sync_privileges(connection)
        sequences_behind(connection)
        _write(connection)
        SeenTasks(connection)
    finally:
        transaction.rollback()
    return schema


def _upgrade(connection: Connection) -> bool:
    """Upgrade; return False if that was abandoned, which also ends the transaction."""
    connection.exec_driver_sql("SET LOCAL lock_timeout = '2s'")
    connection.exec_driver_sql("SET LOCAL statement_timeout = '10s'")
    try:
        ensure_schema(connection)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in _GIVEN_UP:
            return False
        raise
    return True


def _write(connection: Connection) -> None:
    connection.execute(sa.update(STATE).values(state_id=STATE.c.state_id))
    now = dt.datetime.now(dt.UTC)
    row = {"run_id": _NO_RUN, "started_at": now, "mode": RunMode.FULL, "status": RunStatus.RUNNING}
    connection.execute(sa.insert(RUNS).values(row))
