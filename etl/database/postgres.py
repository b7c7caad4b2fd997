"""
A Postgres URL becomes an engine.

Nothing is set for a session, only for each transaction (`etl.database.session_settings`), and no statement is
prepared on the server: a pooler may give each transaction another session.
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
# A URL that sets one of these in its query keeps its own value. A line that a firewall has cut is noticed.
_DEFAULTS = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "6",
}
# Postgres cuts longer names, and the process and the time must not go.
_MAX_NAME = 63
_WRITER = re.compile(r"gcore-etl (\d+)@(\S+)(?: (\S+))?")


def open_postgres(url: URL, text: str, *, read_only: bool) -> Engine:
    """Prepare an engine for `url`, written as `text`; raises ConfigurationError for one that cannot work."""
    if "@" in f"{url.host}{url.database}":
        raise ConfigurationError("the database URL has more than one @: write those of the password as %40")
    try:
        check_url(url, text)
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args=_connect_args(url, read_only=read_only),
            hide_parameters=True,  # in logs and messages: records are the user's own business
            pool_pre_ping=True,  # `watch` may find its idle connection cut
            # A reader sees one instant all through its transaction, as it does on SQLite.
            isolation_level="REPEATABLE READ" if read_only else "READ COMMITTED",
            use_native_hstore=False,  # no column is one, and to look it up costs a question
        )
    except ImportError as error:
        raise ConfigurationError(
            "Postgres needs the psycopg package: pip install 'gcore-ai-tasks-etl[postgres]'"
        ) from error
    except (ArgumentError, ValueError):
        raise ConfigurationError(f"the database URL is not one: write {POSTGRES_EXAMPLE}") from None

    @event.listens_for(engine, "connect")
    def say_how_transactions_begin(connection: PostgresConnection, _record: object) -> None:
        # Part of each BEGIN, whatever `default_transaction_read_only` says.
        connection.read_only = read_only

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        prepare_transaction(connection, is_writer=not read_only)

    event.listen(engine, "do_execute", _copy_rows)
    return engine


def _connect_args(url: URL, *, read_only: bool) -> dict[str, Any]:
    name = "gcore-etl" if read_only else _name_of_writer(dt.datetime.now(dt.UTC))
    defaults = {name: value for name, value in _DEFAULTS.items() if name not in url.query}
    return {
        **defaults,
        "fallback_application_name": name,
        "client_encoding": "utf8",
        "prepare_threshold": None,
    }


def writer_named(application_name: str) -> tuple[str, str, dt.datetime | None] | None:
    """Return process, host and start of the writer of this name; None if it is nobody's of ours."""
    named = _WRITER.fullmatch(application_name)
    if named is None:
        return None
    return named[1], named[2], dt.datetime.fromisoformat(named[3]) if named[3] else None


def _name_of_writer(now: dt.datetime) -> str:
    """Return what others see of a writer; a pid alone says little where containers share a database."""
    since = f" {now:%Y-%m-%dT%H:%M:%SZ}"
    return f"gcore-etl {os.getpid()}@{socket.gethostname()}"[: _MAX_NAME - len(since)] + since


def _copy_rows(cursor: PostgresCursor, statement: str, parameters: Any, _context: object) -> bool:  # noqa: ANN401
    """
    Run `COPY … FROM STDIN`, which the driver has another method for than for other statements.

    Its one parameter gives the rows; the server takes them while the next ones are made.
    """
    if not statement.startswith("COPY "):
        return False
    (rows,) = parameters
    with cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
    return True
