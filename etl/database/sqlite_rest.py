"""
A SQLite file at rest, which nobody changes while somebody reads it without a log.

Such a reader takes none of SQLite's locks, which need a file beside the database. It holds a lock on the
folder instead, shared with others like it. Whoever else opens the file then leaves in the log what was
written, also when closing the file; the next one that finds nobody reading copies it into the file.
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


def open_file(path: Path, how: str, kind: type[_C]) -> _C:
    """Open a file with these options of its URI; the driver begins no transactions by itself."""
    connection: _C = sqlite3.connect(
        f"{path.as_uri()}?{how}",
        uri=True,
        timeout=LOCK_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        factory=kind,
    )
    return connection


class FileConnection(sqlite3.Connection):
    """A connection that may write the file, if only to copy the log into it when it is closed last."""

    _path: Path | None = None

    def belong_to(self, path: Path) -> None:
        """Note which file this is; until then it is just closed."""
        self._path = path

    def close(self) -> None:
        """Close the file; the last one to do so copies the log into it, unless it is read at rest."""
        with contextlib.ExitStack() as stack:
            if self._path is not None and not stack.enter_context(folder_to_itself(self._path.parent)):
                with contextlib.suppress(sqlite3.Error):
                    # Whoever closes last, and cannot write, leaves the log in place.
                    keeper = sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True)
                    stack.callback(keeper.close)
                    keeper.execute("SELECT count(*) FROM sqlite_master").fetchone()
            super().close()


@contextlib.contextmanager
def folder_to_itself(folder: Path) -> Iterator[bool]:
    """Yield whether nobody reads a file at rest in this folder, and keep it so during the block."""
    with contextlib.ExitStack() as stack:
        descriptor = _opened(folder, stack)
        is_alone = descriptor is None or _locked(descriptor, is_shared=False)
        # Either readers share the lock, or another writer has it for a moment.
        if not is_alone and descriptor is not None and not _locked(descriptor, is_shared=True):
            is_alone = _awaited(descriptor, is_shared=False)
        yield is_alone


@contextlib.contextmanager
def folder_at_rest(folder: Path) -> Iterator[None]:
    """Keep others from copying a log into a file in this folder, or removing one, during the block."""
    with contextlib.ExitStack() as stack:
        descriptor = _opened(folder, stack)
        if descriptor is not None:
            _awaited(descriptor, is_shared=True)
        yield


def _awaited(descriptor: int, *, is_shared: bool) -> bool:
    deadline = time.monotonic() + LOCK_SECONDS
    while not _locked(descriptor, is_shared=is_shared):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _locked(descriptor: int, *, is_shared: bool) -> bool:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without such locks: nobody holds one
    return True


def _opened(folder: Path, stack: contextlib.ExitStack) -> int | None:
    if sys.platform == "win32":
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None  # a folder that may be passed through but not listed
    stack.callback(os.close, descriptor)
    return descriptor
