"""The `error` of a run in `sync_runs`."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from etl.database import explain
from etl.errors import EtlError
from etl.secret import clean_line


def error_line(error: BaseException) -> str:
    """Return one line about an error; only the class of an unexpected one, whose text may hold a secret."""
    if isinstance(error, DBAPIError):
        return explain(error) or type(error).__name__
    return clean_line(str(error)) if isinstance(error, EtlError) else type(error).__name__
