"""
SQLite files: reading one without leaving anything beside it, and the lock that makes that safe.

A file in WAL mode can be read in three ways:

- By its owner, who may write the file and its folder: SQLite creates the WAL and its index beside the file,
  shares them with the writer, and removes them at the end.
- With a WAL that exists already: read-only, by anybody, without write permission.
- Without a WAL: as a file that does not change (`immutable=1`). A change by another program is detected.

Everyone but the owner (and root, who counts as the owner) reads in the second or third way: files that SQLite
created for another user would keep the owner from writing.

A connection with `immutable=1` takes none of SQLite's own locks. So it holds a shared lock (`flock`) on the
folder. A writer that cannot lock the folder exclusively leaves its changes in the WAL, also when
it closes the file. The next writer that can copies them into the file (a checkpoint).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from etl.database.sqlite_errors import advise, side_files, why_unreadable
from etl.errors import DatabaseError
from etl.files import exists, is_writable

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.platform != "win32":
    import fcntl

LOCK_SECONDS = 5.0
_POLL_SECONDS = 0.02
_MAX_ATTEMPTS = 5
_IMMUTABLE = "immutable=1"
_CHANGED = "was changed by another program while it was read: run again"


class FileConnection(sqlite3.Connection):
    """A connection to a file; the driver begins no transactions. One that may write it may checkpoint it."""

    def __init__(self, path: Path, options: str, *, may_checkpoint: bool) -> None:
        self.path, self._may_checkpoint = path, may_checkpoint
        super().__init__(
            f"{path.as_uri()}?{options}",
            uri=True,
            timeout=LOCK_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )

    def why_changed(self) -> str | None:
        """Return what happened to the file since it was opened, if it matters to this connection."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the file. The last connection checkpoints it, unless an immutable reader has it open."""
        with contextlib.ExitStack() as stack:
            if self._may_checkpoint and not stack.enter_context(checkpoint_lock(self.path.parent)):
                with contextlib.suppress(sqlite3.Error):
                    # The last connection leaves the WAL in place if it is read-only.
                    keeper = sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True)
                    stack.callback(keeper.close)
                    keeper.execute("SELECT count(*) FROM sqlite_master").fetchone()
            super().close()


class ReadConnection(FileConnection):
    """A connection that only reads; an immutable one holds the checkpoint lock until it is closed."""

    def __init__(self, path: Path, options: str, *, is_owners: bool = False) -> None:
        self.is_owners, self._is_immutable = is_owners, options == _IMMUTABLE
        self.lock, self._fingerprint = contextlib.ExitStack(), fingerprint(path)
        super().__init__(path, options, may_checkpoint=is_owners)
        try:
            self.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except BaseException:
            self.close()
            raise

    def why_changed(self) -> str | None:
        """Return the reason why reads may be inconsistent: another program has changed the file."""
        return _CHANGED if self._is_immutable and self._fingerprint != fingerprint(self.path) else None

    def close(self) -> None:
        """Close the file, then release the lock."""
        super().close()
        self.lock.close()


def refuse_changed(connection: object, path: Path) -> None:
    """Raise DatabaseError if the file changed while this connection read it, or is not the one it writes."""
    reason = connection.why_changed() if isinstance(connection, FileConnection) else None
    if reason is not None:
        raise DatabaseError(f"the database {path} {reason}")


def may_stay_open(connection: sqlite3.Connection) -> bool:
    """Return whether an idle connection can stay open: only the owner's does not block a writer."""
    return isinstance(connection, ReadConnection) and connection.is_owners


def connect_reader(path: Path) -> ReadConnection:
    """Return a read-only connection to a database that exists. Raises DatabaseError or sqlite3.Error."""
    path = Path(os.path.realpath(path))
    if _may_create_side_files(path):
        return ReadConnection(path, "mode=rw", is_owners=True)
    for _ in range(_MAX_ATTEMPTS):
        with contextlib.ExitStack() as stack:
            stack.enter_context(prevent_checkpoints(path))
            log = fingerprint(Path(f"{path}-wal"))
            try:
                if not _has_log(path):
                    if not _is_wal_mode(path):
                        return ReadConnection(path, "mode=ro")
                    connection = ReadConnection(path, _IMMUTABLE)
                    connection.lock = stack.pop_all()
                    return connection
                # The lock on the folder, and after it this connection, keep the WAL from being removed.
                return ReadConnection(path, "mode=ro&readonly_shm=1")
            except (sqlite3.Error, OSError) as error:
                if log == fingerprint(Path(f"{path}-wal")):
                    code = getattr(error, "sqlite_errorcode", None)
                    reason = why_unreadable(path) if code != sqlite3.SQLITE_NOTADB else None
                    raise DatabaseError(f"the database {path} {reason or advise(error) or error}") from error
    raise DatabaseError(f"the database {path} {_CHANGED}")


def _may_create_side_files(path: Path) -> bool:
    """Return whether files that SQLite creates beside the database belong to its owner and can be removed."""
    if sys.platform == "win32":
        return True
    return os.geteuid() in {0, path.stat().st_uid} and all(
        map(is_writable, (path, path.parent, *side_files(path)))
    )


def _has_log(path: Path) -> bool:
    """Return whether there is a WAL, which is empty if its writer has not written yet."""
    log = Path(f"{path}-wal")
    return exists(log) and (log.stat().st_size > 0 or exists(Path(f"{path}-shm")))


def _is_wal_mode(path: Path) -> bool:
    """
    Return whether the database is in WAL mode.

    The header is not read directly, because closing the file would drop every POSIX lock that this process
    holds on it. Opened with `nolock=1`, SQLite refuses a database in WAL mode.
    """
    try:
        ReadConnection(path, "mode=ro&nolock=1").close()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_CANTOPEN:
            raise
        return True
    return False


def fingerprint(path: Path) -> tuple[int, ...]:
    """Return device and inode, size and time of change of a file; nothing if there is none."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@contextlib.contextmanager
def checkpoint_lock(folder: Path) -> Iterator[bool]:
    """Yield whether files in this folder may be checkpointed: no immutable reader has one open."""
    with _opened(folder) as descriptor:
        has_lock = _try_lock(descriptor, is_shared=False)
        # If the lock cannot be shared either, another writer holds it, and only for a moment.
        if not has_lock and not _try_lock(descriptor, is_shared=True):
            has_lock = _wait_for_lock(descriptor, is_shared=False)
        yield has_lock


@contextlib.contextmanager
def prevent_checkpoints(path: Path) -> Iterator[None]:
    """
    Keep others from checkpointing this file, and from removing its WAL, during the block.

    Raises DatabaseError if a checkpoint takes too long: a file read during it may mix two states.
    """
    with _opened(path.parent) as descriptor:
        if not _wait_for_lock(descriptor, is_shared=True):
            raise DatabaseError(
                f"the database {path} has been busy for {LOCK_SECONDS:g} s, because a sync or another "
                "program holds the lock on its folder: retry when it has finished"
            )
        yield


def _wait_for_lock(descriptor: int | None, *, is_shared: bool) -> bool:
    deadline = time.monotonic() + LOCK_SECONDS
    while not _try_lock(descriptor, is_shared=is_shared):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _try_lock(descriptor: int | None, *, is_shared: bool) -> bool:
    """Lock the folder if nobody else has; one that cannot be locked at all counts as locked."""
    try:
        if descriptor is not None:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # the file system has no such locks, so nobody holds one
    return True


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int | None]:
    """Yield a descriptor to lock; None on Windows, or if the folder can be traversed but not listed."""
    with contextlib.ExitStack() as stack:
        descriptor = None
        if sys.platform != "win32":
            with contextlib.suppress(OSError):
                descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
                stack.callback(os.close, descriptor)
        yield descriptor
