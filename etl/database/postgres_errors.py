"""Advice for errors of Postgres and its driver."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlalchemy.exc import InterfaceError, InternalError, OperationalError, ProgrammingError

from etl.errors import ConfigurationError, DatabaseError, EtlError
from etl.secret import clean

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError

_RUN_AGAIN = "run again"
_READ_ONLY = "a standby, or a read-only session: name the primary server in the database URL"
ALTERED = "the tables are not as gcore-etl made them, and gcore-etl db check lists the differences"
RAISED_BY_USERS = "a trigger or a function that gcore-etl did not make raised this"
_POOLED = (
    "a pooler in transaction mode takes no prepared statements: "
    "create_engine(…, connect_args={'prepare_threshold': None})"
)
# By SQLSTATE, or by its first two characters, which name a class of errors.
_ADVICE = {
    "08": "check that the server is running and can be reached",
    "0A": _READ_ONLY,
    "22021": "use a database created with ENCODING 'UTF8'",
    "22P05": "use a database created with ENCODING 'UTF8'",
    "23502": ALTERED,
    "25006": _READ_ONLY,
    "25P01": "it needs a transaction: pass an engine, or a connection that is not in autocommit mode",
    "26000": _POOLED,
    "2BP01": "an object of yours depends on it: drop that object first, and recreate it afterwards",
    "3F000": ALTERED,
    "40": _RUN_AGAIN,
    "42501": "ask its owner for the missing privilege",
    "42703": ALTERED,
    "42804": ALTERED,
    "42809": ALTERED,
    "42883": ALTERED,
    "42P01": ALTERED,
    "42P05": _POOLED,
    "42P07": ALTERED,
    "428C9": ALTERED,
    "53100": "free some disk space on the server, then run again",
    "53200": "the server has no memory left: run again later",
    "53300": "all connections are in use: run again later, or raise max_connections",
    "53400": "raise that limit on the server",
    "55": "another session is using it: run again once that is done",
    "57014": "the statement was cancelled on the server: run again",
    "57P": "the server ended the session: run again once it accepts connections",
    "58": "the server cannot use its disk: see its log",
    "P0": RAISED_BY_USERS,
    "XX": "the server reports damaged data or an internal error: see its log",
}
# Failed connections have no SQLSTATE. Messages in another language than English get no advice.
_OPTIONS = "check the options in the database URL and the PG… variables"
_CONNECTING: dict[str, tuple[type[EtlError], str]] = {
    r"is bad: (?:invalid|definition of service|service file|syntax error)": (ConfigurationError, _OPTIONS),
    r"unrecognized configuration parameter|invalid value for parameter|cannot be changed|requires a value": (
        ConfigurationError,
        _OPTIONS,
    ),
    r"certificate": (
        ConfigurationError,
        "name the file with the authority's certificate: sslrootcert=… in the database URL",
    ),
    r"unsupported startup parameter": (
        ConfigurationError,
        "a pooler accepts no options=…: set them for the role, such as ALTER ROLE … SET search_path = …",
    ),
    # The URL requires something that the server does not offer.
    r"does not support SSL|GSSAPI|channel binding|session is (?:not )?read-only|in hot standby": (
        DatabaseError,
        _OPTIONS,
    ),
    r"too many|connection slots|no more connections": (DatabaseError, _ADVICE["53300"]),
    r"authentication|no password supplied|role \"|pg_hba\.conf|permission denied for database": (
        DatabaseError,
        "check the user and the password in the database URL, and what the server allows that user",
    ),
    r"database \"": (DatabaseError, "create it, or name another in the database URL"),
    r"resolve|translate host name|parse network address": (
        DatabaseError,
        "check the host in the database URL",
    ),
    r"refused|timeout|timed out|No such file|unreachable|closed the connection|starting up|shutting down": (
        DatabaseError,
        _ADVICE["08"],
    ),
}
# Prefixes of the names of constraints that the migrations create.
_OURS = re.compile(r"(?:pk|uq|ck)_(?:tasks|task_|subtitles|detections|sync_|rejected_|transcript_)")


def translate_postgres(error: DBAPIError) -> EtlError | None:
    """Return the error for the user, as one line with advice; None if it is a bug in this program."""
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
            advice = "gcore-etl did not make that constraint: drop it"
    if advice or is_operational:
        return DatabaseError(f"the database cannot be used: {text}" + (f": {advice}" if advice else ""))
    return None


def is_missing_privilege(error: DBAPIError) -> bool:
    """Return whether the role lacks a privilege."""
    return getattr(error.orig, "sqlstate", None) == "42501"


def _translate_connection_error(error: DBAPIError) -> EtlError:
    message = str(error.orig)
    text = _to_line(message)
    if isinstance(error, ProgrammingError):  # the driver rejected the options
        return ConfigurationError(f"the database cannot be used: {text}: {_OPTIONS}")
    for pattern, (kind, advice) in _CONNECTING.items():
        # Searched before cleaning: a password may be one of the words of the pattern.
        if re.search(pattern, " ".join(message.split())):
            return kind(f"the database cannot be used: {text}: {advice}")
    return DatabaseError(f"the database cannot be used: {text}")


def _to_line(text: str) -> str:
    return clean(" ".join(text.split()))
