"""
A SQLite file becomes an engine.

An engine that may write begins each transaction with BEGIN IMMEDIATE: a transaction that read first could
not become a writer once another connection has written. One that only reads begins with a plain BEGIN, which
never waits and never makes the writer wait. The execution option `sqlite_begin="DEFERRED"` gives such a
transaction on a writing engine.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from sqlalchemy import URL, Connection, Engine, NullPool, QueuePool, create_engine, event

from etl.database.sqlite_errors import advise, annotate, blame_for_reaching, blame_for_writing
from etl.database.sqlite_readers import advice_on_change, connect_reader, refuse_changed
from etl.database.sqlite_rest import FileConnection, folder_to_itself, open_file
from etl.errors import ConfigurationError, DatabaseError, NoTablesError
from etl.files import create_file, find_temporary_folder, is_usable_folder

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import ExceptionContext

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


def open_sqlite(path: Path, *, read_only: bool) -> Engine:
    """
    Return an engine for a file.

    Raises DatabaseError where there is no place for the file, and NoTablesError, with `read_only`, where
    there is none.
    """
    _refuse_missing(path, read_only=read_only)

    def connect() -> sqlite3.Connection:
        try:
            return connect_sqlite(path, read_only=read_only)
        except sqlite3.Error as error:
            raise DatabaseError(
                f"the database {path} {advise(error, path) or f'cannot be used: {error}'}"
            ) from error

    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        creator=connect,
        hide_parameters=True,
        # A file at rest is read as it was when it was opened: each reader opens it for itself.
        poolclass=NullPool if read_only else QueuePool,
        execution_options={"sqlite_begin": "DEFERRED" if read_only else "IMMEDIATE"},
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        driver = _driver_of(connection)
        if isinstance(driver, _Writer):
            driver.prepare()
        connection.exec_driver_sql(f"BEGIN {connection.get_execution_options()['sqlite_begin']}")

    @event.listens_for(engine, "commit")
    def before_commit(connection: Connection) -> None:
        driver = _driver_of(connection)
        if isinstance(driver, _Writer):
            driver.refuse_lost()
        else:
            refuse_changed(driver, path)

    @event.listens_for(engine, "handle_error")
    def name_the_file(context: ExceptionContext) -> None:
        connection = context.connection
        if isinstance(context.original_exception, sqlite3.Error) and connection is not None:
            annotate(context.original_exception, path, advice_on_change(_driver_of(connection)))

    return engine


def connect_sqlite(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """Open a file, in a folder that exists. Raises DatabaseError or sqlite3.Error."""
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
    """Raise DatabaseError if this user may not write the database; nothing is created to find out."""
    reason = blame_for_writing(path)
    if reason is not None:
        raise DatabaseError(f"the database {path} {reason}")


class _Writer(FileConnection):
    """A connection that writes, until the file loses its name."""

    _file: tuple[Path, int, int] | None = None
    _checkpoints = False

    def adopt(self, path: Path) -> None:
        """Note which file this is, and leave it as it is for the time being."""
        found = path.stat()
        self._file = path, found.st_dev, found.st_ino
        self.belong_to(path)
        self.execute("PRAGMA wal_autocheckpoint = 0")

    def prepare(self) -> None:
        """
        Get ready for a transaction: the log is copied into the file from now on, unless it is read at rest.

        Raises DatabaseError if the file has lost its name: what is written would be lost with it.
        """
        self.refuse_lost()
        if not self._checkpoints and self._file is not None:
            with folder_to_itself(self._file[0].parent) as self._checkpoints:
                if self._checkpoints:
                    self.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")

    def refuse_lost(self) -> None:
        """Raise DatabaseError if the file was deleted or replaced."""
        if self._file is None:
            return
        path, *identity = self._file
        try:
            found = path.stat()
            is_here = [found.st_dev, found.st_ino] == identity
        except OSError:
            is_here = False
        if not is_here:
            raise DatabaseError(f"the database {path} was deleted or replaced during the run: run again")


def _connect_writer(path: Path) -> _Writer:
    """
    Open the file, or create it, readable by its owner alone.

    The driver's own transactions are off (`isolation_level=None`): it would begin none before DDL, and an
    upgrade would no longer be all or nothing. `synchronous=NORMAL` may lose the last commits when the power
    fails, never when the process does; and as the watermark is committed with the rows it covers, losing both
    only means to read them again. WAL is set when the file is created, and stays: who switched it off since,
    for a network disk perhaps, had a reason.
    """
    path = Path(os.path.realpath(path))
    try:
        os.close(create_file(path))
    except FileExistsError:
        pass
    except OSError as error:
        reason = blame_for_writing(path) or f"cannot be created: {error.strerror}"
        raise DatabaseError(f"the database {path} {reason}") from error
    connection = open_file(path, "mode=rw", _Writer)
    try:
        is_new = connection.execute("PRAGMA page_count").fetchone() == (0,)
        if is_new:
            connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        (journal,) = connection.execute(f"PRAGMA journal_mode{' = WAL' if is_new else ''}").fetchone()
        connection.execute(f"PRAGMA synchronous = {'NORMAL' if journal == 'wal' else 'FULL'}")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.adopt(path)
    except BaseException:
        connection.close()
        raise
    return connection


def _provide_temporary_folder(connection: sqlite3.Connection, path: Path) -> None:
    """
    Let SQLite keep its temporary files beside the database where it would find no other place for them.

    It looks at these folders, and at the variables only once, before Python could set them. The statement for
    this is deprecated but has no successor; where it is missing, TMPDIR is named when a file is needed.
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
    """Refuse every change but of temporary tables; json_each is declared as if it were a table to be made."""
    is_change = action in _CHANGES and database != "temp" and table != "sqlite_master"
    return sqlite3.SQLITE_DENY if is_change else sqlite3.SQLITE_OK


def parse_path(text: str) -> Path:
    """Return the path that a URL names after `sqlite:///`; raises ConfigurationError if it is none."""
    if text == ":memory:" or text.startswith("file:"):
        raise ConfigurationError(
            "the database URL names no file: what memory holds is gone when the run ends"
        )
    if re.search(r"\?\w+=", text):
        raise ConfigurationError(
            "the database URL has options, which SQLite files do not take: leave out the ?…"
        )
    name = os.fsdecode(unquote_to_bytes(os.fsencode(text)))
    if "\0" in name:
        raise ConfigurationError("the database URL names no file: no name holds a zero byte (%00)")
    return Path(name).absolute()


def _refuse_missing(path: Path, *, read_only: bool) -> None:
    try:
        reason = blame_for_reaching(path)
        if reason is not None:
            raise DatabaseError(f"the database {path} {reason}")
        if not path.parent.is_dir():
            raise DatabaseError(f"there is no folder {path.parent} for the database: make it first")
        path.stat()
    except FileNotFoundError:
        if read_only:
            raise NoTablesError(f"there is no database at {path}: run gcore-etl sync first") from None
    except OSError as error:
        raise DatabaseError(f"the database {path} cannot be opened: {error.strerror}") from error


def _driver_of(connection: Connection) -> object:
    is_gone = connection.closed or connection.invalidated
    return None if is_gone else connection.connection.driver_connection
