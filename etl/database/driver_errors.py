"""Driver errors translated into one line that says what to do."""

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
    Translate driver errors that the database causes: down, locked, full, damaged, missing privileges.

    Raises DatabaseError, or ConfigurationError for unusable options and an untrusted certificate, with the
    driver's error chained. A violated constraint or a malformed statement is a bug and is not translated.
    """
    try:
        yield
    except DBAPIError as error:
        translated = _translate(error)
        if translated is None:
            raise
        raise translated from error


def explain(error: DBAPIError) -> str | None:
    """Return the translated message of an error; None if the error is a bug."""
    translated = _translate(error)
    return None if translated is None else str(translated)


def _translate(error: DBAPIError) -> EtlError | None:
    if not isinstance(error.orig, sqlite3.Error):
        return translate_postgres(error)
    path = path_of(error.orig)
    advice = advise(error.orig, path)
    return DatabaseError(f"the database {f'{path} ' if path else ''}{advice}") if advice else None
