"""What SQLite says, turned into the half of a line that follows "the database": what is wrong, what to do."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
from pathlib import Path

from etl.files import (
    NO_TEMPORARY_FOLDER,
    exists,
    is_on_read_only_mount,
    is_writable,
    may,
    owner_of,
    permissions,
)

_PRIMARY_CODE = 0xFF  # the rest of an SQLite error code is detail
# What SQLite keeps beside a database: its log, the index of the log, and the journal of a file without a log.
BESIDE = ("-wal", "-shm", "-journal")
_NO_SHARED_INDEX = (
    "cannot share the index of its log: the disk is full, or the file system, perhaps a network disk, cannot "
    "share memory: make room, or keep the database on a local disk"
)
_ADVICE = {
    sqlite3.SQLITE_BUSY: "is locked by another program: let that finish, or end it",
    sqlite3.SQLITE_LOCKED: "is locked by another connection: let that finish, or end it",
    sqlite3.SQLITE_FULL: (
        "cannot grow, because the disk is full: make room for it and for temporary files, and run again"
    ),
    sqlite3.SQLITE_AUTH: "was opened for reading, and is not written to",
    sqlite3.SQLITE_READONLY: "cannot be written: check the permissions of the file and its folder",
    sqlite3.SQLITE_PERM: "cannot be used: check the permissions of the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: check that it is a file, and its permissions",
    sqlite3.SQLITE_NOTADB: "is not an SQLite database: name another file with --database-url",
    sqlite3.SQLITE_CORRUPT: "is damaged: restore a copy of it, or sync into a new file",
    sqlite3.SQLITE_PROTOCOL: "cannot be locked: keep it on a local disk, whose locks work",
    sqlite3.SQLITE_NOLFS: "is larger than its file system allows: keep it on another one",
    sqlite3.SQLITE_IOERR: (
        "cannot be read or written: the disk, its quota, or the network behind it reports an error"
    ),
    sqlite3.SQLITE_IOERR_GETTEMPPATH: f"cannot be used: {NO_TEMPORARY_FOLDER}",
    sqlite3.SQLITE_IOERR_SHMOPEN: _NO_SHARED_INDEX,
    sqlite3.SQLITE_IOERR_SHMSIZE: _NO_SHARED_INDEX,
    sqlite3.SQLITE_IOERR_SHMLOCK: _NO_SHARED_INDEX,
    sqlite3.SQLITE_IOERR_SHMMAP: _NO_SHARED_INDEX,
    sqlite3.SQLITE_READONLY_DBMOVED: "was deleted or replaced while it was written: run again",
}
# Permissions of several files and folders can be behind these.
_PERMISSIONS = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN}
_SOMETHING_IS_GONE = re.compile(r"no such (table|column|view|index)\b|table \S+ has no column")


def annotate(error: sqlite3.Error, path: Path, advice: str | None) -> None:
    """Note on an error of the driver, which does not know it, the file it is about, and what explains it."""
    error.etl_path, error.etl_advice = path, advice  # type: ignore[attr-defined]


def path_of(error: sqlite3.Error) -> Path | None:
    """Return the file that an error is about, if it was noted."""
    return getattr(error, "etl_path", None)


def advise(error: BaseException, path: Path | None = None) -> str | None:
    """
    Return what is wrong with the database and what to do; None if the database is not to blame.

    With the path of the file, a permission that is missing is traced to the file or folder that lacks it.
    """
    noted: str | None = getattr(error, "etl_advice", None)
    if noted is not None:
        return noted
    code = getattr(error, "sqlite_errorcode", 0)
    primary = code & _PRIMARY_CODE
    if code == sqlite3.SQLITE_CONSTRAINT_TRIGGER:
        return f"has a trigger of yours that refuses the change: {error}"
    if primary == sqlite3.SQLITE_ERROR:
        return _advise_on_statement(str(error))
    if path is not None and primary in _PERMISSIONS and (code == primary or code not in _ADVICE):
        is_write = primary == sqlite3.SQLITE_READONLY
        found = blame_for_writing(path) if is_write else blame_for_reading(path) or blame_for_writing(path)
        if found is not None:
            return found
    return _ADVICE.get(code, _ADVICE.get(primary))


def _advise_on_statement(message: str) -> str | None:
    if "no such module: fts5" in message:
        return (
            "needs full-text search (FTS5), which this Python's SQLite lacks: use another Python, or Postgres"
        )
    if _SOMETHING_IS_GONE.match(message):
        return f"is not as gcore-etl made it ({message}): see gcore-etl db check"
    return None


def blame_for_writing(path: Path) -> str | None:
    """Return which file or folder keeps this user from writing the database; None if none does."""
    path = Path(os.path.realpath(path))
    for place, name in ((path, "it"), (path.parent, f"its folder {path.parent}, where SQLite keeps a log,")):
        if os.path.lexists(place) and not is_writable(place):
            if is_on_read_only_mount(place):
                return f"cannot be written: {os.strerror(errno.EROFS)}: mount it for writing"
            return f"cannot be written: {name} belongs to {_described(place)}"
    others = [place for place in beside(path) if not is_writable(place)]
    if not others:
        return None
    owners = " and ".join(dict.fromkeys(map(owner_of, others)))
    return (
        f"cannot be written: {' and '.join(map(str, others))} beside it belong to {owners}: have an "
        f"administrator run chown --reference={path} {' '.join(map(str, others))}"
    )


def blame_for_reaching(path: Path) -> str | None:
    """Return which folder above the database this user may not pass through; None if there is none."""
    for folder in reversed(Path(os.path.realpath(path)).parents):
        if not folder.is_dir():
            return None
        if not may(folder, os.X_OK):
            return f"cannot be reached: the folder {folder} belongs to {_described(folder)}"
    return None


def blame_for_reading(path: Path) -> str | None:
    """Return which file or folder keeps this user from reading the database; None if none does."""
    path = Path(os.path.realpath(path))
    if exists(path) and not may(path, os.R_OK):
        return f"cannot be read: it belongs to {_described(path)}"
    log, index = (Path(f"{path}{suffix}") for suffix in ("-wal", "-shm"))
    unreadable = [place for place in (log, index) if not may(place, os.R_OK)]
    if exists(log) and unreadable:
        state = "cannot be read" if exists(unreadable[0]) else "is missing"
        return (
            f"cannot be read: it has a log, and {unreadable[0]} {state}: run gcore-etl status "
            f"as {owner_of(path)}, which folds the log into the database"
        )
    journal = Path(f"{path}-journal")
    if exists(journal):
        return (
            f"cannot be read: a write to it was cut short, as {journal} says: run gcore-etl status "
            f"as {owner_of(path)}, which restores it"
        )
    return None


def beside(path: Path) -> list[Path]:
    """Return the files that SQLite keeps beside this one just now."""
    return [place for suffix in BESIDE if exists(place := Path(f"{path}{suffix}"))]


def _described(place: Path) -> str:
    return f"{owner_of(place)} (mode {permissions(place):04o}): ask for the permission"
