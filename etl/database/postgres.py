"""
Postgres engines, and the validation of their URLs against libpq's own list of options, before connecting.

Settings apply to one transaction (`etl.database.session_settings`), never to a session, and no statement is
prepared on the server: a pooler may run each transaction in another session.
"""

from __future__ import annotations

import datetime as dt
import difflib
import os
import re
import socket
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError

from etl.database.session_settings import prepare_transaction
from etl.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg import Connection as PostgresConnection
    from psycopg import Cursor as PostgresCursor

POSTGRES_EXAMPLE = "postgresql://user:password@host/database"
_SEVERAL_AT = "the database URL has more than one @: write those of the password as %40"
# Used unless the URL sets them. Keepalives detect a connection that a firewall has dropped.
_DEFAULTS = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "6",
}
# Postgres truncates longer names, which would cut off the time.
_MAX_NAME = 63
_WRITER = re.compile(r"gcore-etl (\d+)@(\S+)(?: (\S+))?")
# Options of other tools, and libpq's equivalents.
_REPLACEMENTS = {
    **dict.fromkeys(("schema", "currentschema", "search_path"), "write options=-csearch_path%3DNAME instead"),
    **dict.fromkeys(("ssl", "usessl", "encrypt"), "write sslmode=require instead"),
    **dict.fromkeys(("timeout", "connecttimeout", "logintimeout"), "write connect_timeout=SECONDS instead"),
    **dict.fromkeys(("username", "database"), "write postgresql://user:password@host/database instead"),
}
_CHOICES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "sslcertmode": ("disable", "allow", "require"),
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "load_balance_hosts": ("disable", "random"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    **dict.fromkeys(("sslsni", "sslcompression", "gssdelegation"), ("0", "1")),
}
_NUMBERS = {
    "port": range(1, 65_536),
    "connect_timeout": range(-1, 2**31),
    "keepalives": range(2),
    **dict.fromkeys(
        ("tcp_user_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count"), range(2**31)
    ),
}


def open_postgres(url: URL, text: str, *, read_only: bool) -> Engine:
    """
    Return an engine for `url`, without connecting. Raises ConfigurationError for a URL that cannot work.

    `text` is the URL as the user wrote it.
    """
    if "@" in f"{url.host}{url.database}":
        raise ConfigurationError(_SEVERAL_AT)
    application = "gcore-etl" if read_only else _writer_name(dt.datetime.now(dt.UTC))
    try:
        _check_url(url, text)
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args={
                **{name: value for name, value in _DEFAULTS.items() if name not in url.query},
                "fallback_application_name": application,
                "client_encoding": "utf8",
                "prepare_threshold": None,
            },
            hide_parameters=True,  # records must not appear in logs and messages
            pool_pre_ping=True,  # the idle connection of `watch` may have been dropped
            # A reader sees one snapshot throughout its transaction, as on SQLite.
            isolation_level="REPEATABLE READ" if read_only else "READ COMMITTED",
            use_native_hstore=False,  # saves a query: no column is an hstore
        )
    except ImportError as error:
        raise ConfigurationError(
            "Postgres needs the psycopg package: pip install 'gcore-ai-tasks-etl[postgres]'"
        ) from error
    except (ArgumentError, ValueError):
        raise ConfigurationError(f"the database URL is malformed: write {POSTGRES_EXAMPLE}") from None

    @event.listens_for(engine, "connect")
    def set_access_mode(connection: PostgresConnection, _record: object) -> None:
        # Sent with each BEGIN, so `default_transaction_read_only` does not matter.
        connection.read_only = read_only

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        prepare_transaction(connection, is_writer=not read_only)

    event.listen(engine, "do_execute", _copy_rows)
    return engine


def parse_writer_name(application_name: str) -> tuple[str, str, dt.datetime | None] | None:
    """Return process id, host and start of the writer with this application name; None if it is not ours."""
    match = _WRITER.fullmatch(application_name)
    if match is None:
        return None
    return match[1], match[2], dt.datetime.fromisoformat(match[3]) if match[3] else None


def _writer_name(now: dt.datetime) -> str:
    """Return the application name of a writer. Containers that share a database may have the same pid."""
    since = f" {now:%Y-%m-%dT%H:%M:%SZ}"
    return f"gcore-etl {os.getpid()}@{socket.gethostname()}"[: _MAX_NAME - len(since)] + since


def _copy_rows(cursor: PostgresCursor, statement: str, parameters: Any, _context: object) -> bool:  # noqa: ANN401
    """
    Run `COPY … FROM STDIN`, for which the driver has a method of its own.

    The one parameter is an iterator of rows; they are streamed to the server.
    """
    if not statement.startswith("COPY "):
        return False
    (rows,) = parameters
    with cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
    return True


def _check_url(url: URL, text: str) -> None:
    """
    Raise ConfigurationError that names every option libpq does not know and every value it cannot use.

    Values from `PG…` variables and from a service file are checked as well. `text` is the URL as the user
    wrote it: part of a password that contains an @ must not be quoted as if it were an option.
    """
    from psycopg.pq import Conninfo  # noqa: PLC0415 - an extra

    options = {option.keyword.decode(): option for option in Conninfo.get_defaults()}
    del options["replication"]  # such a connection runs no ordinary SQL
    given = [(name, each) for name, values in url.normalized_query.items() for each in values]
    if url.port is not None:
        given.insert(0, ("port", str(url.port)))
    mistakes = [mistake for name, value in given if (mistake := _find_mistake(name, value, options))]
    if mistakes and text.partition("://")[2].count("@") > 1:
        raise ConfigurationError(_SEVERAL_AT)
    if mistakes:
        raise ConfigurationError(f"the database URL: {'; '.join(mistakes)}")
    for name, option in options.items():
        if option.val is None or name in dict(given):
            continue
        if mistake := _find_mistake(name, option.val.decode(errors="replace"), options):
            variable = (option.envvar or b"").decode()
            raise ConfigurationError(f"{variable} in the environment, or a service file: {mistake}")


def _find_mistake(name: str, value: str, options: Mapping[str, object]) -> str | None:
    """Return what is wrong with an option and what to write; None if libpq can use it."""
    if name not in options:
        close = difflib.get_close_matches(name.lower(), options, 1, 0.8)
        advice = f"write {close[0]} instead" if close else "leave it out"
        advice = _REPLACEMENTS.get(name.lower(), advice)
        if re.fullmatch(r"\w+", value):
            advice = advice.replace("NAME", value)
        return f"PostgreSQL has no option {name!a}: {advice}"
    if name in _CHOICES and value not in _CHOICES[name]:
        return f"{name} cannot be {value!a}: write one of {', '.join(_CHOICES[name])}"
    if name in _NUMBERS:
        allowed = _NUMBERS[name]
        # Several hosts may have a port each; an empty one is the default.
        numbers = filter(None, value.split(",")) if name == "port" else (value,)
        if not all(re.fullmatch(r"\s*[+-]?\d{1,20}\s*", each) and int(each) in allowed for each in numbers):
            return f"{name} cannot be {value!a}: write a number from {allowed[0]} to {allowed[-1]}"
    return None
