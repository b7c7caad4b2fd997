"""What the drivers say, turned into one line that tells the user what to do."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from etl.database.postgres_errors import translate_postgres
from etl.database.sqlite_errors import advise, path_of
from etl.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.errors import EtlError


@contextlib.contextmanager
def database_errors() -> Iterator[None]:
    """
    Raise DatabaseError for what the database, and not the code, did wrong.

    Down, locked, full, damaged, without permission: one line, with the driver's own error chained to it.
    ConfigurationError for options that it cannot take, and for a certificate that is not trusted.
    A violated constraint or a malformed statement is a bug, and passes as it is.
    """
    try:
        yield
    except DBAPIError as error:
        translated = _translate(error)
        if translated is None:
            raise
        raise translated from error


def explain(error: DBAPIError) -> str | None:
    """Say in one line what the database did wrong; None if it is not to blame."""
    translated = _translate(error)
    return None if translated is None else str(translated)


def _translate(error: DBAPIError) -> EtlError | None:
    if not isinstance(error.orig, sqlite3.Error):
        return translate_postgres(error)
    path = path_of(error.orig)
    advice = advise(error.orig, path)
    return DatabaseError(f"the database {f'{path} ' if path else ''}{advice}") if advice else None
