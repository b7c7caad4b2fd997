"""A check that a sync can write a SQLite database, which leaves nothing behind."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from etl.database.schema import ensure_schema
from etl.database.sqlite import refuse_unwritable
from etl.errors import DatabaseError
from etl.files import NO_TEMPORARY_FOLDER, find_temporary_folder

if TYPE_CHECKING:
    from sqlalchemy import Connection

# The smallest sync needs this much: its WAL, and the WAL index.
_MIN_FREE_BYTES = 1024 * 1024
# Temporary tables of this size do not fit in SQLite's memory.
_TEMPORARY_BYTES = 4 * _MIN_FREE_BYTES
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}


def try_writing(connection: Connection, path: Path) -> None:
    """
    Upgrade the schema, write a row, a temporary table and a temporary file, and roll all of it back.

    Raises the errors that a sync would raise: DatabaseError, or driver errors for `database_errors`.
    """
    _require_free_space(Path(os.path.realpath(path)).parent)
    with connection.begin() as transaction:
        ensure_schema(connection)
        for statement in (
            "UPDATE sync_state SET watermark = watermark",
            "INSERT INTO sync_runs (started_at, mode, status) VALUES ('2026-01-01', 'partial', 'running')",
            "CREATE TEMPORARY TABLE trial (filling BLOB)",
            f"INSERT INTO trial VALUES (zeroblob({_TEMPORARY_BYTES}))",
        ):
            connection.exec_driver_sql(statement)
        transaction.rollback()


def try_creating(path: Path) -> None:
    """Raise DatabaseError if a sync could not create the database. Nothing is created."""
    refuse_unwritable(path)
    folder = Path(os.path.realpath(path)).parent
    _require_free_space(folder)
    if find_temporary_folder(folder) is None:
        raise DatabaseError(NO_TEMPORARY_FOLDER)


def _require_free_space(folder: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_MIN_FREE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in _DISK_FULL:
            raise DatabaseError(f"cannot write in {folder}: {error.strerror}") from error
        raise DatabaseError(
            f"the database cannot grow, because the disk is full: free some space in {folder}"
        ) from error
