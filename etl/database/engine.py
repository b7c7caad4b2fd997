"""
A URL becomes an engine.

An engine that may write begins each transaction on SQLite with BEGIN IMMEDIATE: a transaction that read first
could not become a writer once another connection has written. One that only reads begins with a plain BEGIN,
which never waits and never makes the writer wait. The execution option `sqlite_begin="DEFERRED"` gives such a
transaction on a writing engine. On Postgres it is ignored.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from etl.database.driver_errors import sqlite_advice
from etl.errors import ConfigurationError, DatabaseError, NoTablesError
from etl.secret import keep_password

if TYPE_CHECKING:
    from psycopg import Connection as PostgresConnection
    from psycopg import Cursor as PostgresCursor

_EXAMPLES = "sqlite:///gcore_tasks.db or postgresql://user:password@host/database"
_LOCK_SECONDS = 5.0
# A row is about half a KiB: with larger pages fewer of them are split, and fewer written.
_PAGE_BYTES = 8192
# Pages held in memory, in KiB: start times come in no order, so inserts land all over their index.
_CACHE_KIB = 16 * 1024
# A page that changes again soon is then copied into the file once; the log grows to 32 MiB at the most.
_CHECKPOINT_PAGES = 4000
_CHANGES = {
    sqlite3.SQLITE_INSERT,
    sqlite3.SQLITE_UPDATE,
    sqlite3.SQLITE_DELETE,
    sqlite3.SQLITE_CREATE_INDEX,
    sqlite3.SQLITE_CREATE_VIEW,
    sqlite3.SQLITE_CREATE_TRIGGER,
    sqlite3.SQLITE_DROP_TABLE,
    sqlite3.SQLITE_DROP_INDEX,
    sqlite3.SQLITE_DROP_VIEW,
    sqlite3.SQLITE_DROP_TRIGGER,
    sqlite3.SQLITE_ALTER_TABLE,
}
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
    sqlite = re.fullmatch(r"sqlite(?:\+pysqlite)?:///(.+)", url.strip(), re.DOTALL)
    if sqlite is not None:
        return _open_sqlite(_sqlite_path(sqlite[1]), read_only=read_only)
    try:
        parsed = make_url(url.strip())
    except (ArgumentError, ValueError):
        raise ConfigurationError(f"the database URL is not one: write {_EXAMPLES}") from None
    if parsed.get_backend_name() in {"postgres", "postgresql"}:
        return _open_postgres(parsed, read_only=read_only)
    if parsed.get_backend_name() == "sqlite":
        raise ConfigurationError(f"the database URL names no file: write {_EXAMPLES}")
    raise ConfigurationError(f"{parsed.drivername} databases are not supported: write {_EXAMPLES}")


def describe(engine: Engine) -> str:
    """Name the database for a human, without its password or options."""
    url = engine.url
    if engine.dialect.name == "sqlite":
        return str(url.database)
    return URL.create(
        "postgresql", username=url.username, host=url.host, port=url.port, database=url.database
    ).render_as_string()


def _sqlite_path(text: str) -> Path:
    if text == ":memory:" or text.startswith("file:"):
        raise ConfigurationError(
            "the database URL names no file: what memory holds is gone when the run ends"
        )
    if re.search(r"\?\w+=", text):
        raise ConfigurationError(
            "the database URL has options, which SQLite files do not take: leave out the ?…"
        )
    return Path(unquote(text)).absolute()


def _open_sqlite(path: Path, *, read_only: bool) -> Engine:
    if not path.parent.is_dir():
        raise DatabaseError(f"there is no folder {path.parent} for the database: make it first")
    if read_only and not path.exists():
        raise NoTablesError(f"there is no database at {path}: run gcore-etl sync first")

    def connect() -> sqlite3.Connection:
        try:
            return connect_sqlite(path, read_only=read_only)
        except sqlite3.Error as error:
            raise DatabaseError(f"{path} {sqlite_advice(error) or f'cannot be used: {error}'}") from error

    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        creator=connect,
        hide_parameters=True,
        execution_options={"sqlite_begin": "DEFERRED" if read_only else "IMMEDIATE"},
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"BEGIN {connection.get_execution_options()['sqlite_begin']}")

    return engine


def connect_sqlite(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """
    Open the file, in a folder that exists.

    The driver's own transactions are off (`isolation_level=None`): it would begin none before DDL, and an
    upgrade would no longer be all or nothing. `synchronous=NORMAL` may lose the last commits when the power
    fails, never when the process does; and as the watermark is committed with the rows it covers, losing both
    only means to read them again. WAL is set when the file is made, and stays: who switched it off since, for
    a network disk perhaps, had a reason.
    """
    connection = sqlite3.connect(
        # Opened for reading alone, SQLite could not take away the files that it makes beside this one.
        f"{path.as_uri()}?mode={'rw' if read_only else 'rwc'}",
        uri=True,
        timeout=_LOCK_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        is_new = connection.execute("PRAGMA page_count").fetchone() == (0,)
        if read_only:
            connection.set_authorizer(_allow_reading)
        else:
            if is_new:
                connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            (journal,) = connection.execute(f"PRAGMA journal_mode{' = WAL' if is_new else ''}").fetchone()
            connection.execute(f"PRAGMA synchronous = {'NORMAL' if journal == 'wal' else 'FULL'}")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    except BaseException:
        connection.close()
        raise
    return connection


def _allow_reading(
    action: int, table: str | None, _column: str | None, database: str | None, _trigger: str | None
) -> int:
    """Refuse every change but of temporary tables; json_each is declared as if it were a table to be made."""
    is_change = action in _CHANGES and database != "temp" and table != "sqlite_master"
    return sqlite3.SQLITE_DENY if is_change else sqlite3.SQLITE_OK


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
