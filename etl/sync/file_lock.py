"""
The writer's lock on a SQLite database: an operating system lock on a file next to it.

The kernel releases it when its process ends, however it ends. The holder writes its process and host into the
file. The file stays; its presence means nothing.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import json
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import filelock

from etl.database.sqlite import refuse_unwritable
from etl.errors import DatabaseError, SyncRunning
from etl.files import PRIVATE_FILE, exists, owner_of, permissions
from etl.stop import Stop
from etl.sync.lock_holder import Holder, busy_message

if TYPE_CHECKING:
    from collections.abc import Iterator

_POLL_SECONDS = 0.2
_MAX_BYTES = 1000  # of the holder's note
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
KERNEL_LOCKS = Path("/proc/locks")


@contextlib.contextmanager
def file_lock(database: Path, *, wait: bool, stop: Stop | None = None) -> Iterator[None]:
    """
    Hold the lock for the length of the block.

    Raises SyncRunning if another process holds it, unless told to wait until the `stop` is set; DatabaseError
    if the lock file cannot be used, or the database not written: then the lock file is not touched.
    """
    stop = stop or Stop()
    database = Path(os.path.realpath(database))
    refuse_unwritable(database)
    path = Path(f"{database}.lock")
    _refuse_other_things(path)
    mode = _mode_beside(database)
    descriptors: list[int] = []
    lock = filelock.FileLock(
        path,
        timeout=-1 if wait else 0,
        mode=mode,
        fallback_to_soft=False,  # a file that a killed process leaves would block every other
        preserve_lock_file=True,
        on_acquired=descriptors.append,
    )
    try:
        lock.acquire(poll_interval=_POLL_SECONDS, cancel_check=stop.is_set)
    except filelock.Timeout:
        stop.check()
        raise SyncRunning(busy_message(_holder_of(path))) from None
    except OSError as error:
        raise DatabaseError(_explain(path, error)) from error
    try:
        # Nothing depends on permissions or note, and the disk may be full.
        with contextlib.suppress(OSError):
            _share(descriptors[0], database, mode)
        with contextlib.suppress(OSError):
            _write_note(descriptors[0])
        yield
    finally:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptors[0], 0)
        lock.release()


def _write_note(descriptor: int) -> None:
    """Write the holder, this process, into the lock file."""
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    note = {"process": str(os.getpid()), "host": socket.gethostname(), "since": now}
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, json.dumps(note).encode()[:_MAX_BYTES])


def _share(descriptor: int, database: Path, mode: int) -> None:
    """Copy owner, group and write permission of the database to a lock file of this user."""
    if not exists(database) or not hasattr(os, "fchown"):
        return
    owned, found = database.stat(), os.fstat(descriptor)
    if found.st_uid != os.geteuid():
        return
    if os.geteuid() == 0 and found.st_uid != owned.st_uid:
        os.fchown(descriptor, owned.st_uid, owned.st_gid)
    elif mode != PRIVATE_FILE and found.st_gid != owned.st_gid:
        os.fchown(descriptor, -1, owned.st_gid)
    if found.st_mode & mode != mode:
        os.fchmod(descriptor, stat.S_IMODE(found.st_mode) | mode)


def _mode_beside(database: Path) -> int:
    """Return the mode of a lock file: only users who may write the database can hold the lock."""
    may_write = database.stat().st_mode & 0o022 if exists(database) else 0
    return PRIVATE_FILE | may_write | may_write << 1


def _holder_of(path: Path) -> Holder | None:
    """Return the holder of the lock: the process that the kernel reports, with its own note."""
    noted, process = _read_note(path), _locking_process(path)
    if process is None or (noted is not None and noted.process == process):
        return noted
    return Holder(process=process, host=socket.gethostname(), since=None)


def _read_note(path: Path) -> Holder | None:
    try:
        with path.open("rb") as file:
            note = json.loads(file.read(_MAX_BYTES))
        since = dt.datetime.fromisoformat(note["since"])
        return Holder(process=str(note["process"]), host=str(note["host"]), since=since.astimezone(dt.UTC))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # written by an older release, or incomplete


def _locking_process(path: Path) -> str | None:
    """Return the process that holds a lock on the file, if the system reports it; not of other containers."""
    try:
        found = path.stat()
        lines = KERNEL_LOCKS.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return None
    name = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in lines:
        # 1: FLOCK  ADVISORY  WRITE 4711 fe:00:2162221 0 EOF
        match line.split():
            case [_, "FLOCK", _, _, process, device_and_file, *_] if (
                device_and_file == name and process > "0"
            ):
                return process
    return None


def _refuse_other_things(path: Path) -> None:
    if path.is_symlink() or (exists(path) and not path.is_file()):
        what = "a symbolic link" if path.is_symlink() else "not a file"
        raise DatabaseError(f"{path} is {what}, and the lock file of the database belongs there: remove it")


def _explain(path: Path, error: OSError) -> str:
    if error.errno in _NO_LOCKS:
        reason = "its file system does not support locks"
        return f"{path} cannot be locked: {reason}: keep the database on a local disk"
    if isinstance(error, PermissionError) and exists(path):
        is_sticky = path.parent.stat().st_mode & stat.S_ISVTX
        advice = (
            f"clear the sticky bit of {path.parent}"
            if is_sticky
            else "give it the owner and mode of the database"
        )
        return (
            f"the lock file {path} cannot be used: it belongs to {owner_of(path)} "
            f"(mode {permissions(path):04o}): {advice}, or remove it"
        )
    return f"cannot create the lock file {path}: {error.strerror or error}"
