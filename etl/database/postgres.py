"""
Postgres engines.

Settings apply to one transaction (`etl.database.session_settings`), never to a session, and no statement is
prepared on the server: a pooler may run each transaction in another session.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import socket
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError

from etl.database.postgres_url import check_url
from etl.database.session_settings import prepare_transaction
from etl.errors import ConfigurationError

if TYPE_CHECKING:
    from psycopg import Connection as PostgresConnection
    from psycopg import Cursor as PostgresCursor

POSTGRES_EXAMPLE = "postgresql://user:password@host/database"
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


def open_postgres(url: URL, text: str, *, read_only: bool) -> Engine:
    """
    Return an engine for `url`, without connecting. Raises ConfigurationError for a URL that cannot work.

    `text` is the URL as the user wrote it.
    """
    if "@" in f"{url.host}{url.database}":
        raise ConfigurationError("the database URL has more than one @: write those of the password as %40")
    try:
        check_url(url, text)
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args=_connect_args(url, read_only=read_only),
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


def _connect_args(url: URL, *, read_only: bool) -> dict[str, Any]:
    name = "gcore-etl" if read_only else _writer_name(dt.datetime.now(dt.UTC))
    defaults = {name: value for name, value in _DEFAULTS.items() if name not in url.query}
    return {
        **defaults,
        "fallback_application_name": name,
        "client_encoding": "utf8",
        "prepare_threshold": None,
    }


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
