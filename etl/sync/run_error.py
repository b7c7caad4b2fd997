"""What ended a run, as its row in `sync_runs` tells it."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from etl.database import explain
from etl.errors import EtlError, Interrupted
from etl.secret import clean_line


def find_cause(error: BaseException) -> BaseException:
    """Give the signal that an error came of: interrupted in the middle, a driver can only complain."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, (Interrupted, KeyboardInterrupt)):
        found = found.__context__
    return found or error


def error_line(error: BaseException) -> str:
    """Say it in one line; of what nobody expected, only the name, for its text may hold anything."""
    if isinstance(error, DBAPIError):
        return explain(error) or type(error).__name__
    return clean_line(str(error)) if isinstance(error, EtlError) else type(error).__name__
