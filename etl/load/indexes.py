"""
Indexes that a first load builds at its end, on SQLite only.

Rows arrive ordered by id, so inserting them into any other index is random access; building the index once
takes a fraction of the time. On Postgres the server does that work in another process, and dropping an index
would block readers. After an interrupted first load the indexes are missing, so a migration must allow for
that; the next run builds them.
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
    """Drop the indexes; no task may be stored yet."""
    if connection.dialect.name == "sqlite":
        for index in _INDEXES:
            index.drop(connection, checkfirst=True)


def build_indexes(connection: sa.Connection) -> None:
    """Build the missing indexes."""
    for index in missing_indexes(connection):
        index.create(connection)


def missing_indexes(connection: sa.Connection) -> list[sa.Index]:
    """Return the indexes that a first load has dropped and not built yet."""
    if connection.dialect.name != "sqlite":
        return []
    existing = set(connection.scalars(sa.text("SELECT name FROM sqlite_master WHERE type = 'index'")))
    return [index for index in _INDEXES if index.name not in existing]
