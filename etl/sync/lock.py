"""
One writer per database.

SQLite: a lock on a file next to the database, see `etl.sync.file_lock`. Postgres: an advisory lock held by
the session that writes, see `etl.sync.advisory_lock`; a process that loses the lock has lost its connection,
too, and cannot write.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from etl.sync.advisory_lock import locked_session
from etl.sync.file_lock import file_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

    from etl.stop import Stop


@contextlib.contextmanager
def writer(engine: sa.Engine, *, wait: bool, stop: Stop) -> Iterator[sa.Connection]:
    """
    Yield the only connection that may write, for the length of the block.

    Raises SyncRunning if another process holds the lock, unless told to wait; waiting ends with the stop.
    """
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection, locked_session(connection, wait=wait, stop=stop):
            yield connection
    else:
        path = Path(engine.url.database or "")
        with file_lock(path, wait=wait, stop=stop), engine.connect() as connection:
            yield connection
