"""A URL becomes an engine: of a SQLite file, see `etl.database.sqlite`, or of a Postgres database."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from etl.database.sqlite import open_sqlite, parse_path
from etl.errors import ConfigurationError
from etl.secret import keep_password

if TYPE_CHECKING:
    from pathlib import Path

    from psycopg import Connection as PostgresConnection
    from psycopg import Cursor as PostgresCursor
    from sqlalchemy import Engine

_EXAMPLES = "sqlite:///gcore_tasks.db or postgresql://user:password@host/database"
# A URL that sets one of these in its query keeps its own value.
_POSTGRES_DEFAULTS = {"application_name": "gcore-etl", "client_encoding": "utf8", "connect_timeout": "10"}


def open_engine(url: str, *, read_only: bool = False) -> Engine:
    """
    Prepare an engine for `url`; nothing is sent before its first connection, but a file is looked for.

    Raises ConfigurationError for a URL that cannot work, which is never repeated, as it may hold a password,
    DatabaseError where there is no place for the SQLite file, and NoTablesError, with `read_only`, where
    there is no file.
    """
    keep_password(url)
    path = file_of(url)
    if path is not None:
        return open_sqlite(path, read_only=read_only)
    try:
        parsed = make_url(url.strip())
    except (ArgumentError, ValueError):
        raise ConfigurationError(f"the database URL is not one: write {_EXAMPLES}") from None
    if parsed.get_backend_name() in {"postgres", "postgresql"}:
        return _open_postgres(parsed, read_only=read_only)
    if parsed.get_backend_name() == "sqlite":
        raise ConfigurationError(f"the database URL names no file: write {_EXAMPLES}")
    raise ConfigurationError(f"{parsed.drivername} databases are not supported: write {_EXAMPLES}")


def file_of(url: str) -> Path | None:
    """Return the path of the file that a URL of SQLite names; None for any other URL."""
    sqlite = re.fullmatch(r"sqlite(?:\+pysqlite)?:///(.+)", url.strip(), re.DOTALL)
    return None if sqlite is None else parse_path(sqlite[1])


def describe(engine: Engine) -> str:
    """Name the database for a human, without its password or options."""
    url = engine.url
    if engine.dialect.name == "sqlite":
        return str(url.database)
    return URL.create(
        "postgresql", username=url.username, host=url.host, port=url.port, database=url.database
    ).render_as_string()


def _open_postgres(url: URL, *, read_only: bool) -> Engine:
    if "@" in f"{url.host}{url.database}":
        raise ConfigurationError("the database URL has more than one @: write those of the password as %40")
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args={name: value for name, value in _POSTGRES_DEFAULTS.items() if name not in url.query},
            hide_parameters=True,  # in logs and messages: records are the user's own business
            pool_pre_ping=True,  # `watch` may find its idle connection cut
            # A reader sees one instant all through its transaction, as it does on SQLite.
            isolation_level="REPEATABLE READ" if read_only else "READ COMMITTED",
        )
    except ImportError as error:
        raise ConfigurationError(
            "Postgres needs the psycopg package: pip install 'gcore-ai-tasks-etl[postgres]'"
        ) from error
    except (ArgumentError, ValueError):
        raise ConfigurationError(f"the database URL is not one: write {_EXAMPLES}") from None

    @event.listens_for(engine, "connect")
    def prepare_session(connection: PostgresConnection, _record: object) -> None:
        # Statements, not start-up options: poolers such as PgBouncer refuse the latter.
        connection.execute("SET TIME ZONE 'UTC'")
        if read_only:
            connection.execute("SET default_transaction_read_only = on")
        connection.commit()

    @event.listens_for(engine, "do_execute")
    def copy_rows(cursor: PostgresCursor, statement: str, parameters: Any, _context: object) -> bool:  # noqa: ANN401
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

    return engine
