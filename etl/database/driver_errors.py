"""What the drivers say, turned into one line that tells the user what to do."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError

from etl.errors import DatabaseError
from etl.secret import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

_PRIMARY_CODE = 0xFF  # the rest of an SQLite error code is detail
_SQLITE = {
    sqlite3.SQLITE_BUSY: "is locked by another program: let that finish, or end it",
    sqlite3.SQLITE_LOCKED: "is locked by another connection: let that finish, or end it",
    sqlite3.SQLITE_FULL: "cannot grow, because the disk is full: make room and run again",
    sqlite3.SQLITE_AUTH: "was opened for reading, and is not written to",
    sqlite3.SQLITE_READONLY: "cannot be written: check the permissions of the file and its folder",
    sqlite3.SQLITE_PERM: "cannot be used: check the permissions of the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: check that it is a file, and its permissions",
    sqlite3.SQLITE_NOTADB: "is not an SQLite database: name another file with --database-url",
    sqlite3.SQLITE_CORRUPT: "is damaged: restore a copy of it, or sync into a new file",
    sqlite3.SQLITE_IOERR: "cannot be read or written: the disk, or the network behind it, reports an error",
}
# What Postgres files under programming errors, but only its owner can mend.
_POSTGRES = {"42501", "2BP01"}  # insufficient privilege; something of the user's depends on it


@contextlib.contextmanager
def database_errors() -> Iterator[None]:
    """
    Raise DatabaseError for what the database, and not the code, did wrong.

    Down, locked, full, damaged, without permission: one line, with the driver's own error chained to it.
    A violated constraint or a malformed statement is a bug, and passes as it is.
    """
    try:
        yield
    except DBAPIError as error:
        line = explain(error)
        if line is None:
            raise
        raise DatabaseError(line) from error


def sqlite_advice(error: BaseException | None) -> str | None:
    """Say what is wrong with an SQLite database and what to do; None if the database is not to blame."""
    return _SQLITE.get(getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE)


def explain(error: DBAPIError) -> str | None:
    """Say in one line what the database did wrong; None if it is not to blame."""
    if isinstance(error.orig, sqlite3.Error):
        if "no such module: fts5" in str(error.orig):
            return "this Python's SQLite has no full-text search (FTS5): use another Python, or Postgres"
        advice = sqlite_advice(error.orig)
        return f"the database {advice}" if advice else None
    operational = isinstance(error, (OperationalError, InterfaceError, InternalError))
    if operational or getattr(error.orig, "sqlstate", None) in _POSTGRES:
        return "the database cannot be used: " + clean(" ".join(str(error.orig).split()))
    return None
