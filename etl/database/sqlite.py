"""
SQLite engines.

A writing engine begins each transaction with BEGIN IMMEDIATE: a transaction that reads first could not become
a writer once another connection has written. A read-only engine uses BEGIN DEFERRED, which neither waits nor
makes a writer wait; the execution option `sqlite_begin="DEFERRED"` does the same on a writing engine.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote_to_bytes

from sqlalchemy import URL, Connection, Engine, NullPool, QueuePool, create_engine, event

from etl.database.sqlite_errors import advise, annotate, why_unreachable, why_unwritable
from etl.database.sqlite_files import (
    FileConnection,
    checkpoint_lock,
    connect_reader,
    fingerprint,
    refuse_changed,
)
from etl.errors import ConfigurationError, DatabaseError, NoTablesError
from etl.files import create_file, find_temporary_folder, is_usable_folder

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import ExceptionContext

# A row takes about half a KiB: with larger pages, fewer pages are split and written.
_PAGE_BYTES = 8192
# Rows arrive in no order of their start time, so inserts touch pages all over that index.
_CACHE_KIB = 8 * 1024
# Pages that change repeatedly are copied into the file once; the WAL grows to 32 MiB at most.
CHECKPOINT_PAGES = 4000
_WRITES = {
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


def open_sqlite(path: Path, *, read_only: bool) -> Engine:
    """Return an engine for a file, as `etl.database.open_engine` describes."""
    _refuse_missing(path, read_only=read_only)

    def connect() -> sqlite3.Connection:
        try:
            return connect_sqlite(path, read_only=read_only)
        except sqlite3.Error as error:
            advice = advise(error, path) or f"cannot be used: {error}"
            raise DatabaseError(f"the database {path} {advice}") from error

    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        creator=connect,
        hide_parameters=True,
        # An immutable connection sees the file as it was when it was opened, so none is reused.
        poolclass=NullPool if read_only else QueuePool,
        execution_options={"sqlite_begin": "DEFERRED" if read_only else "IMMEDIATE"},
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        driver = _driver_of(connection)
        if isinstance(driver, _WriteConnection):
            refuse_changed(driver, path)  # what is written would be lost
            driver.allow_checkpoints()
        connection.exec_driver_sql(f"BEGIN {connection.get_execution_options()['sqlite_begin']}")

    @event.listens_for(engine, "commit")
    def before_commit(connection: Connection) -> None:
        refuse_changed(_driver_of(connection), path)

    @event.listens_for(engine, "handle_error")
    def name_the_file(context: ExceptionContext) -> None:
        connection = context.connection
        if isinstance(context.original_exception, sqlite3.Error) and connection is not None:
            driver = _driver_of(connection)
            annotate(context.original_exception, path, None if driver is None else driver.why_changed())

    return engine


def connect_sqlite(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """Return a driver connection; the folder must exist. Raises DatabaseError or sqlite3.Error."""
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "a pipe or a device"
        raise DatabaseError(f"the database {path} cannot be opened: it is {what}, not a file")
    connection: sqlite3.Connection = connect_reader(path) if read_only else _connect_writer(path)
    try:
        _provide_temporary_folder(connection, path)
        if read_only:
            connection.set_authorizer(_allow_reading)
    except BaseException:
        connection.close()
        raise
    return connection


def refuse_unwritable(path: Path) -> None:
    """Raise DatabaseError if this user may not write the database. Nothing is created."""
    reason = why_unwritable(path)
    if reason is not None:
        raise DatabaseError(f"the database {path} {reason}")


class _WriteConnection(FileConnection):
    """A connection that writes. Checkpoints are off until `allow_checkpoints`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "mode=rw", may_checkpoint=True)
        self._identity, self._has_checkpoints = fingerprint(path)[:2], False

    def why_changed(self) -> str | None:
        """Return the reason why writes would be lost: the file was replaced or deleted."""
        is_same = self._identity and self._identity == fingerprint(self.path)[:2]
        return None if is_same else "was deleted or replaced during the run: run again"

    def allow_checkpoints(self) -> None:
        """Turn checkpoints on, unless an immutable reader has the file open."""
        if not self._has_checkpoints:
            with checkpoint_lock(self.path.parent) as self._has_checkpoints:
                if self._has_checkpoints:
                    self.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")


def _connect_writer(path: Path) -> _WriteConnection:
    """
    Open the file, or create it with mode 0600.

    The driver's own transactions are off (`isolation_level=None`): it begins none before DDL, so an upgrade
    would not be atomic. `synchronous=NORMAL` can lose the last commits in a power failure, but not if the
    process is killed; the watermark is committed after the rows it covers, so the next sync reads them again.
    WAL is set only when the file is created: a user may have switched it off since, for a network disk.
    """
    path = Path(os.path.realpath(path))
    try:
        os.close(create_file(path))
    except FileExistsError:
        pass
    except OSError as error:
        reason = why_unwritable(path) or f"cannot be created: {error.strerror}"
        raise DatabaseError(f"the database {path} {reason}") from error
    connection = _WriteConnection(path)
    try:
        is_new = connection.execute("PRAGMA page_count").fetchone() == (0,)
        if is_new:
            connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        (journal,) = connection.execute(f"PRAGMA journal_mode{' = WAL' if is_new else ''}").fetchone()
        connection.execute(f"PRAGMA synchronous = {'NORMAL' if journal == 'wal' else 'FULL'}")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    except BaseException:
        connection.close()
        raise
    return connection


def _provide_temporary_folder(connection: sqlite3.Connection, path: Path) -> None:
    """
    Let SQLite keep its temporary files beside the database if it would find no other folder for them.

    SQLite tries the folders below, and reads the two variables only once, before Python can set them. The
    pragma is deprecated but has no successor. Where SQLite was built without it, the error that follows when
    a temporary file is needed tells the user to set TMPDIR.
    """
    folder = find_temporary_folder(Path(os.path.realpath(path)).parent)
    environment = (os.environ.get("SQLITE_TMPDIR"), os.environ.get("TMPDIR"))
    if folder is None or is_usable_folder((*environment, "/var/tmp", "/usr/tmp", "/tmp", ".")):  # noqa: S108
        return
    wanted = str(folder)
    if connection.execute("PRAGMA temp_store_directory").fetchone() != (wanted,):
        quoted = wanted.replace("'", "''")
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute(f"PRAGMA temp_store_directory = '{quoted}'")


def _allow_reading(
    action: int, table: str | None, _column: str | None, database: str | None, _trigger: str | None
) -> int:
    """Deny writes, except to temporary tables. Using json_each shows up as a write to sqlite_master."""
    is_write = action in _WRITES and database != "temp" and table != "sqlite_master"
    return sqlite3.SQLITE_DENY if is_write else sqlite3.SQLITE_OK


def parse_path(text: str) -> Path:
    """Return the path from a URL's part after `sqlite:///`. Raises ConfigurationError if it is not a path."""
    if text == ":memory:":
        raise ConfigurationError(
            "the database URL names no file, and a database in memory is lost when the command ends: "
            "write sqlite:///FILE"
        )
    if text.startswith("file:"):
        raise ConfigurationError(
            "the database URL contains a file: URI, which is not supported: write sqlite:///FILE"
        )
    if re.search(r"\?\w+=", text):
        raise ConfigurationError(
            "the database URL has options, which SQLite files do not take: leave out the ?…"
        )
    name = os.fsdecode(unquote_to_bytes(os.fsencode(text)))
    if "\0" in name:
        raise ConfigurationError(
            "the database URL names no file: a file name cannot contain a zero byte (%00)"
        )
    return Path(name)


def _refuse_missing(path: Path, *, read_only: bool) -> None:
    try:
        reason = why_unreachable(path)
        if reason is not None:
            raise DatabaseError(f"the database {path} {reason}")
        if not path.parent.is_dir():
            raise DatabaseError(f"there is no folder {path.parent} for the database: create it first")
        path.stat()
    except FileNotFoundError:
        if read_only:
            raise NoTablesError(f"there is no database at {path}: run gcore-etl sync first") from None
    except OSError as error:
        raise DatabaseError(f"the database {path} cannot be opened: {error.strerror}") from error


def _driver_of(connection: Connection) -> FileConnection | None:
    is_closed = connection.closed or connection.invalidated
    return None if is_closed else cast("FileConnection", connection.connection.driver_connection)
