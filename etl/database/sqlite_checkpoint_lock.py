"""
A lock that prevents checkpoints of a SQLite file while somebody reads the file without its log.

A reader that may not create files beside the database opens it with `immutable=1`, which takes none of
SQLite's own locks. So it holds a shared lock (`flock`) on the folder. A writer that cannot lock the folder
exclusively leaves its changes in the write-ahead log, also when it closes the file. The next writer that can
copies them into the file (a checkpoint).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

if sys.platform != "win32":
    import fcntl

LOCK_SECONDS = 5.0
_POLL_SECONDS = 0.02


_C = TypeVar("_C", bound=sqlite3.Connection)


def open_file(path: Path, options: str, kind: type[_C]) -> _C:
    """Return a connection to a file, opened with these URI options; the driver begins no transactions."""
    connection: _C = sqlite3.connect(
        f"{path.as_uri()}?{options}",
        uri=True,
        timeout=LOCK_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        factory=kind,
    )
    return connection


class FileConnection(sqlite3.Connection):
    """A connection that may write the file, if only to checkpoint it when it is the last one to close it."""

    _path: Path | None = None

    def attach_to(self, path: Path) -> None:
        """Record which file this is; from now on, closing it respects the checkpoint lock."""
        self._path = path

    def close(self) -> None:
        """Close the file. The last connection checkpoints it, unless an immutable reader has it open."""
        with contextlib.ExitStack() as stack:
            if self._path is not None and not stack.enter_context(checkpoint_lock(self._path.parent)):
                with contextlib.suppress(sqlite3.Error):
                    # The last connection leaves the log in place if it is read-only.
                    keeper = sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True)
                    stack.callback(keeper.close)
                    keeper.execute("SELECT count(*) FROM sqlite_master").fetchone()
            super().close()


@contextlib.contextmanager
def checkpoint_lock(folder: Path) -> Iterator[bool]:
    """Yield whether files in this folder may be checkpointed: no immutable reader has one open."""
    with contextlib.ExitStack() as stack:
        descriptor = _open_folder(folder, stack)
        has_lock = descriptor is None or _try_lock(descriptor, is_shared=False)
        # If the lock cannot be shared either, another writer holds it, and only for a moment.
        if not has_lock and descriptor is not None and not _try_lock(descriptor, is_shared=True):
            has_lock = _wait_for_lock(descriptor, is_shared=False)
        yield has_lock


@contextlib.contextmanager
def prevent_checkpoints(folder: Path) -> Iterator[None]:
    """Keep others from checkpointing a file in this folder, and from removing a log, during the block."""
    with contextlib.ExitStack() as stack:
        descriptor = _open_folder(folder, stack)
        if descriptor is not None:
            _wait_for_lock(descriptor, is_shared=True)
        yield


def _wait_for_lock(descriptor: int, *, is_shared: bool) -> bool:
    deadline = time.monotonic() + LOCK_SECONDS
    while not _try_lock(descriptor, is_shared=is_shared):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _try_lock(descriptor: int, *, is_shared: bool) -> bool:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # the file system has no such locks, so nobody holds one
    return True


def _open_folder(folder: Path, stack: contextlib.ExitStack) -> int | None:
    if sys.platform == "win32":
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None  # a folder that can be traversed but not listed
    stack.callback(os.close, descriptor)
    return descriptor
