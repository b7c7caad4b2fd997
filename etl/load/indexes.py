"""
Indexes that a first load builds at its end.

Rows come in the order of their ids, so that an index on anything else is written all over; sorting it once
costs a fraction. Only on SQLite, where the work is done by the process that loads: on Postgres another one
does it, and there a dropped index would lock readers out. A load that was cut short has none, and the next
run builds them; a migration may find them missing.
"""

from __future__ import annotations

import sqlalchemy as sa

from etl.models import HISTORY, TASKS

_INDEXES = [
    index
    for table in (TASKS, HISTORY)
    for index in sorted(table.indexes, key=str)
    if index.info.get("dialect") in {None, "sqlite"}
]


def defer_indexes(connection: sa.Connection) -> None:
    """Drop the indexes of tables without a row."""
    if connection.dialect.name == "sqlite" and not connection.scalar(
        sa.select(sa.exists().select_from(TASKS))
    ):
        for index in _INDEXES:
            index.drop(connection, checkfirst=True)


def build_indexes(connection: sa.Connection) -> None:
    """Build what is missing."""
    for index in missing_indexes(connection):
        index.create(connection)


def missing_indexes(connection: sa.Connection) -> list[sa.Index]:
    """Give the indexes that wait for a first load to end."""
    if connection.dialect.name != "sqlite":
        return []
    there = set(connection.scalars(sa.text("SELECT name FROM sqlite_master WHERE type = 'index'")))
    return [index for index in _INDEXES if index.name not in there]
