"""
Reading a SQLite file without leaving anything beside it.

A file with a write-ahead log can be read in three ways:

- As its owner, who may write the file and its folder: SQLite makes a log and its index beside the file,
  shares them with the writer, and removes them at the end.
- With a log that is there already, whoever is reading: read-only, which needs neither permission.
- At rest, without a log: as a file that does not change (`immutable`), for which `etl.database.sqlite_rest`
  sees to it that it does not. What a program changes that does not know of this is noticed.

Everyone but the owner (and root, who leaves files to the owner) reads in the second or third way: files that
SQLite made for somebody else would keep the owner from writing.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from pathlib import Path

from etl.database.sqlite_errors import advise, beside, blame_for_reading
from etl.database.sqlite_rest import FileConnection, folder_at_rest, open_file
from etl.errors import DatabaseError
from etl.files import exists, is_writable

_ATTEMPTS = 5
_CHANGED = "was changed by another program while it was read: run again"


class Reader(FileConnection):
    """A connection that only reads; one to a file at rest holds on to that rest until it is closed."""

    is_owners = False
    _rest: contextlib.ExitStack | None = None
    _seen: tuple[Path, tuple[int, ...]] | None = None

    def rest_on(self, path: Path, seen: tuple[int, ...], rest: contextlib.ExitStack) -> None:
        """Keep the folder's lock, and what the file was like before it was opened."""
        self._seen, self._rest = (path, seen), rest

    def has_changed(self) -> bool:
        """Return whether the file at rest is not what it was: then what was read may not belong together."""
        return self._seen is not None and self._seen[1] != _look_of(self._seen[0])

    def close(self) -> None:
        """Close the file, then give up its rest."""
        super().close()
        if self._rest is not None:
            self._rest.close()


def refuse_changed(connection: object, path: Path) -> None:
    """Raise DatabaseError if what this connection has read may not be of one instant."""
    if isinstance(connection, Reader) and connection.has_changed():
        raise DatabaseError(f"the database {path} {_CHANGED}")


def may_stay_open(connection: sqlite3.Connection) -> bool:
    """Return whether an idle connection is in nobody's way: it is the owner's, as the files are."""
    return isinstance(connection, Reader) and connection.is_owners


def advice_on_change(connection: object) -> str | None:
    """Return what to say of an error that a change in mid-read has caused; None if there was none."""
    return _CHANGED if isinstance(connection, Reader) and connection.has_changed() else None


def connect_reader(path: Path) -> Reader:
    """Open a database that exists, for reading alone. Raises DatabaseError or sqlite3.Error."""
    path = Path(os.path.realpath(path))
    if _may_make_files(path):
        connection = _open(path, "mode=rw")
        connection.is_owners = True
        connection.belong_to(path)
        return connection
    for _ in range(_ATTEMPTS):
        with contextlib.ExitStack() as stack:
            stack.enter_context(folder_at_rest(path.parent))
            log = _look_of(Path(f"{path}-wal"))
            try:
                if not _has_log(path):
                    if not _keeps_a_log(path):
                        return _open(path, "mode=ro")
                    return _at_rest(path, stack.pop_all())
                # The log stays as long as there is the lock on the folder, and later this connection.
                return _open(path, "mode=ro&readonly_shm=1")
            except (sqlite3.Error, OSError) as error:
                if log == _look_of(Path(f"{path}-wal")):
                    code = getattr(error, "sqlite_errorcode", None)
                    reason = blame_for_reading(path) if code != sqlite3.SQLITE_NOTADB else None
                    raise DatabaseError(f"the database {path} {reason or advise(error) or error}") from error
    raise DatabaseError(f"the database {path} {_CHANGED}")


def _at_rest(path: Path, rest: contextlib.ExitStack) -> Reader:
    with contextlib.ExitStack() as stack:
        stack.push(rest)
        seen = _look_of(path)
        connection = _open(path, "immutable=1")
        if seen is not None:
            connection.rest_on(path, seen, stack.pop_all())
        return connection


def _open(path: Path, how: str) -> Reader:
    connection = open_file(path, how, Reader)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _may_make_files(path: Path) -> bool:
    """Return whether what SQLite makes beside the file is the owner's, and can be removed again."""
    if sys.platform == "win32":
        return True
    return os.geteuid() in {0, path.stat().st_uid} and all(
        map(is_writable, (path, path.parent, *beside(path)))
    )


def _has_log(path: Path) -> bool:
    """Return whether there is a log, perhaps of a writer that has written nothing yet."""
    log = Path(f"{path}-wal")
    return exists(log) and (log.stat().st_size > 0 or exists(Path(f"{path}-shm")))


def _keeps_a_log(path: Path) -> bool:
    """
    Return whether writers of this database keep a write-ahead log.

    SQLite is asked, not the file: to close a file that is opened otherwise would drop every lock that
    connections of this process have on it. Without locks, it refuses to read a database that has a log.
    """
    try:
        _open(path, "mode=ro&nolock=1").close()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_CANTOPEN:
            raise
        return True
    return False


def _look_of(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
