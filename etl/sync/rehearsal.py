"""What a sync does to a Postgres database, tried in a transaction that is rolled back."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import sqlalchemy as sa

from etl.database import (
    current_revision,
    ensure_schema,
    head_revision,
    refuse_without_rights_to_sync,
    refuse_without_rights_to_upgrade,
    sequences_behind,
)
from etl.load.seen import SeenTasks
from etl.models import RUNS, STATE

if TYPE_CHECKING:
    from sqlalchemy import Connection

# No run has this number, so that none is skipped.
_NO_RUN = 0


def rehearse(connection: Connection) -> str:
    """
    Do what a sync does before its first request, take it back, and return the schema in which it did that.

    The connection must hold the writer's lock. Raises what a sync would raise. An upgrade of tables with
    rows, which takes long and keeps readers out, is not tried: only whether this role could.
    """
    transaction = connection.begin()
    try:
        current = current_revision(connection)
        if current in {None, head_revision()}:
            ensure_schema(connection)
            refuse_without_rights_to_sync(connection)
            sequences_behind(connection)
            _write(connection)
        else:
            refuse_without_rights_to_upgrade(connection)
        SeenTasks(connection)
        return str(connection.scalar(sa.text("SELECT current_schema()")))
    finally:
        transaction.rollback()


def _write(connection: Connection) -> None:
    connection.execute(sa.update(STATE).values(state_id=STATE.c.state_id))
    now = dt.datetime.now(dt.UTC)
    row = {"run_id": _NO_RUN, "started_at": now, "mode": "full", "status": "running"}
    connection.execute(sa.insert(RUNS).values(row))
