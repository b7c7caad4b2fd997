"""Advice for SQLite's errors: the part of a message after "the database …", with the cause and the remedy."""

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
# Files that SQLite keeps beside a database: the WAL, the WAL index, and the journal outside WAL mode.
_SUFFIXES = ("-wal", "-shm", "-journal")
_NO_SHARED_INDEX = (
    "cannot share its WAL index: the disk is full, or the file system, perhaps a network disk, cannot "
    "share memory: make room, or keep the database on a local disk"
)
_ADVICE = {
    sqlite3.SQLITE_BUSY: "is locked by another program: wait for it, or stop it",
    sqlite3.SQLITE_LOCKED: "is locked by another connection: wait for it, or stop it",
    sqlite3.SQLITE_FULL: (
        "cannot grow, because the disk is full: make room for it and for temporary files, and run again"
    ),
    sqlite3.SQLITE_AUTH: "was opened read-only",
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
_MISSING_OBJECT = re.compile(r"no such (table|column|view|index)\b|table \S+ has no column")


def annotate(error: sqlite3.Error, path: Path, advice: str | None) -> None:
    """Attach to a driver error the file it is about, and the advice that explains it."""
    error.etl_path, error.etl_advice = path, advice  # type: ignore[attr-defined]


def path_of(error: sqlite3.Error) -> Path | None:
    """Return the file that `annotate` attached to an error."""
    return getattr(error, "etl_path", None)


def advise(error: BaseException, path: Path | None = None) -> str | None:
    """
    Return what is wrong with the database and what to do; None if the error is a bug in this program.

    Given the path, it names the file or folder whose permissions are missing.
    """
    attached: str | None = getattr(error, "etl_advice", None)
    if attached is not None:
        return attached
    code = getattr(error, "sqlite_errorcode", 0)
    primary = code & _PRIMARY_CODE
    if code == sqlite3.SQLITE_CONSTRAINT_TRIGGER:
        return f"has a trigger of yours that refuses the change: {error}"
    if primary == sqlite3.SQLITE_ERROR:
        return _advise_on_statement(str(error))
    if path is not None and primary in _PERMISSIONS and (code == primary or code not in _ADVICE):
        is_write = primary == sqlite3.SQLITE_READONLY
        reason = why_unwritable(path) if is_write else why_unreadable(path) or why_unwritable(path)
        if reason is not None:
            return reason
    return _ADVICE.get(code, _ADVICE.get(primary))


def _advise_on_statement(message: str) -> str | None:
    if "no such module: fts5" in message:
        return (
            "needs full-text search (FTS5), which this Python's SQLite lacks: use another Python, or Postgres"
        )
    if _MISSING_OBJECT.match(message):
        return f"has been altered ({message}): see gcore-etl db check"
    return None


def why_unwritable(path: Path) -> str | None:
    """Return why this user cannot write the database, naming the file or folder; None if it is possible."""
    path = Path(os.path.realpath(path))
    for place, name in (
        (path, "it"),
        (path.parent, f"its folder {path.parent}, where SQLite keeps the WAL,"),
    ):
        if os.path.lexists(place) and not is_writable(place):
            if is_on_read_only_mount(place):
                return f"cannot be written: {os.strerror(errno.EROFS)}: mount it for writing"
            return f"cannot be written: {name} belongs to {_described(place, 'write')}"
    others = [place for place in side_files(path) if not is_writable(place)]
    if not others:
        return None
    owners = " and ".join(dict.fromkeys(map(owner_of, others)))
    return (
        f"cannot be written: {' and '.join(map(str, others))} beside it belong to {owners}: have an "
        f"administrator run chown --reference={path} {' '.join(map(str, others))}"
    )


def why_unreachable(path: Path) -> str | None:
    """Return why this user cannot reach the database, naming the folder; None if it is reachable."""
    for folder in reversed(Path(os.path.realpath(path)).parents):
        if not folder.is_dir():
            return None
        if not may(folder, os.X_OK):
            return f"cannot be reached: the folder {folder} belongs to {_described(folder, 'execute')}"
    return None


def why_unreadable(path: Path) -> str | None:
    """Return why this user cannot read the database, naming the file; None if it is readable."""
    path = Path(os.path.realpath(path))
    if exists(path) and not may(path, os.R_OK):
        return f"cannot be read: it belongs to {_described(path, 'read')}"
    log, index = (Path(f"{path}{suffix}") for suffix in ("-wal", "-shm"))
    unreadable = [place for place in (log, index) if not may(place, os.R_OK)]
    if exists(log) and unreadable:
        state = "cannot be read" if exists(unreadable[0]) else "is missing"
        return (
            f"cannot be read: it has a WAL, and {unreadable[0]} {state}: run gcore-etl status "
            f"as {owner_of(path)}, which merges the WAL into the database"
        )
    journal = Path(f"{path}-journal")
    if exists(journal):
        return (
            f"cannot be read: a write was interrupted and left {journal}: run gcore-etl status "
            f"as {owner_of(path)}, which restores it"
        )
    return None


def side_files(path: Path) -> list[Path]:
    """Return the files that SQLite keeps beside this one at the moment."""
    return [place for suffix in _SUFFIXES if exists(place := Path(f"{path}{suffix}"))]


def _described(place: Path, needed: str) -> str:
    """Return the owner and the mode of a file or folder, and the advice to ask for a permission."""
    return f"{owner_of(place)} (mode {permissions(place):04o}): ask for the {needed} permission"
