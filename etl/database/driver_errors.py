"""Driver errors translated into one line that says what to do; `sqlite_errors` has the advice on SQLite's."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError, ProgrammingError

from etl.database.sqlite_errors import advise, path_of
from etl.errors import ConfigurationError, DatabaseError, EtlError
from etl.secret import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

_READ_ONLY = "a standby, or a read-only session: name the primary server in the database URL"
_ALTERED = "the tables have been altered: gcore-etl db check lists the differences"
_POOLED = (
    "a pooler in transaction mode does not support prepared statements: "
    "create_engine(…, connect_args={'prepare_threshold': None})"
)
# By SQLSTATE, or by its first two characters, which name a class of errors.
_ADVICE = {
    **dict.fromkeys(
        ("23502", "3F000", "42703", "42804", "42809", "42883", "42P01", "42P07", "428C9"), _ALTERED
    ),
    "08": "check that the server is running and can be reached",
    "0A": _READ_ONLY,
    "22021": "use a database created with ENCODING 'UTF8'",
    "22P05": "use a database created with ENCODING 'UTF8'",
    "25006": _READ_ONLY,
    "25P01": "it needs a transaction: pass an engine, or a connection that is not in autocommit mode",
    "26000": _POOLED,
    "2BP01": "one of your own objects depends on it: drop that object first, and recreate it afterwards",
    "40": "run again",
    "42501": "ask its owner for the missing privilege",
    "42P05": _POOLED,
    "53100": "free some disk space on the server, then run again",
    "53200": "the server has no memory left: run again later",
    "53300": "all connections are in use: run again later, or raise max_connections",
    "53400": "raise that limit on the server",
    "55": "another session is using it: run again when it has finished",
    "57014": "the statement was cancelled on the server: run again",
    "57P": "the server ended the session: run again once it accepts connections",
    "58": "the server cannot use its disk: see its log",
    "P0": "a trigger or a function that gcore-etl did not create raised this",
    "XX": "the server reports damaged data or an internal error: see its log",
}
_OPTIONS = "check the options in the database URL and the PG… variables"
# Failed connections have no SQLSTATE. Messages in another language than English get no advice.
_MISCONFIGURED = {
    r"is bad: (?:invalid|definition of service|service file|syntax error)": _OPTIONS,
    r"unrecognized configuration parameter|invalid value for parameter|cannot be changed|requires a value": (
        _OPTIONS
    ),
    r"certificate": "name the file with the authority's certificate: sslrootcert=… in the database URL",
    r"unsupported startup parameter": (
        "a pooler accepts no options=…: set them for the role, such as ALTER ROLE … SET search_path = …"
    ),
}
_NOT_CONNECTED = {
    # The URL requires something that the server does not offer.
    r"does not support SSL|GSSAPI|channel binding|session is (?:not )?read-only|in hot standby": _OPTIONS,
    r"too many|connection slots|no more connections": _ADVICE["53300"],
    r"authentication|no password supplied|role \"|pg_hba\.conf|permission denied for database": (
        "check the user and the password in the database URL, and what the server allows that user"
    ),
    r"database \"": "create it, or name another in the database URL",
    r"resolve|translate host name|parse network address": "check the host in the database URL",
    r"refused|timeout|timed out|No such file|unreachable|closed the connection|starting up|shutting down": (
        _ADVICE["08"]
    ),
}
# Prefixes of the names of constraints that the migrations create.
_OURS = re.compile(r"(?:pk|uq|ck)_(?:tasks|task_|subtitles|detections|sync_|rejected_|transcript_)")


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
        translated = translate(error)
        if translated is None:
            raise
        raise translated from error


def translate(error: DBAPIError) -> EtlError | None:
    """Return the error for the user, as one line with advice; None if it is a bug in this program."""
    if not isinstance(error.orig, sqlite3.Error):
        return _translate_postgres(error)
    path = path_of(error.orig)
    advice = advise(error.orig, path)
    return DatabaseError(f"the database {f'{path} ' if path else ''}{advice}") if advice else None


def _translate_postgres(error: DBAPIError) -> EtlError | None:
    is_operational = isinstance(error, (OperationalError, InterfaceError, InternalError))
    has_sqlstate = getattr(error.orig, "sqlstate", None) is not None
    if not has_sqlstate and (is_operational or error.statement is None):
        return _translate_connection_error(error)
    diagnosis = getattr(error.orig, "diag", None)
    message = getattr(diagnosis, "message_primary", None) or str(error.orig)
    text = _to_line(message)
    if "statement pooling mode" in message:
        return DatabaseError(
            "the database is behind a pooler in statement mode, which does not support transactions: "
            "connect to Postgres directly, or use a pool in session mode"
        )
    code = str(getattr(error.orig, "sqlstate", None) or "")
    advice = next((_ADVICE[code[:size]] for size in (5, 3, 2) if code[:size] in _ADVICE), "")
    if code.startswith("23") and not advice:
        constraint = getattr(diagnosis, "constraint_name", None)
        if constraint and not _OURS.match(constraint):
            advice = "gcore-etl did not create that constraint: drop it"
    if advice or is_operational:
        return DatabaseError(f"the database cannot be used: {text}" + (f": {advice}" if advice else ""))
    return None


def _translate_connection_error(error: DBAPIError) -> EtlError:
    message = str(error.orig)
    text = _to_line(message)
    if isinstance(error, ProgrammingError):  # the driver rejected the options
        return ConfigurationError(f"the database cannot be used: {text}: {_OPTIONS}")
    # Searched before cleaning: a password may be one of the words of the pattern.
    line = " ".join(message.split())
    for kind, patterns in ((ConfigurationError, _MISCONFIGURED), (DatabaseError, _NOT_CONNECTED)):
        for pattern, advice in patterns.items():
            if re.search(pattern, line):
                return kind(f"the database cannot be used: {text}: {advice}")
    return DatabaseError(f"the database cannot be used: {text}")


def _to_line(text: str) -> str:
    return clean(" ".join(text.split()))
