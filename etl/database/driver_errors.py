"""What the drivers say, turned into one line that tells the user what to do."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError

from etl.database.sqlite_errors import advise, path_of
from etl.errors import DatabaseError
from etl.secret import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def explain(error: DBAPIError) -> str | None:
    """Say in one line what the database did wrong; None if it is not to blame."""
    if isinstance(error.orig, sqlite3.Error):
        path = path_of(error.orig)
        advice = advise(error.orig, path)
        return f"the database {f'{path} ' if path else ''}{advice}" if advice else None
    operational = isinstance(error, (OperationalError, InterfaceError, InternalError))
    if operational or getattr(error.orig, "sqlstate", None) in _POSTGRES:
        return "the database cannot be used: " + clean(" ".join(str(error.orig).split()))
    return None
