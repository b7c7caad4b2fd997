"""
Creation of private files and folders, and the choice of a folder for temporary files.

Databases and exports contain transcripts and personal data. So new files have mode 0600 and new folders 0700,
regardless of the umask; existing ones keep their mode.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
NO_TEMPORARY_FOLDER = (
    "there is no folder for temporary files: set TMPDIR to a writable folder with free space"
)


def create_file(path: Path, mode: int = PRIVATE_FILE) -> int:
    """Create a file and return its descriptor. Raises FileExistsError if it exists."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), PRIVATE_FILE)
    if mode != PRIVATE_FILE:
        os.fchmod(descriptor, mode)
    return descriptor


def make_folder(path: Path, mode: int = PRIVATE_FOLDER) -> None:
    """Create a folder and its missing parents; an existing one keeps its mode."""
    if path.is_dir():
        return
    if path.parent != path:
        make_folder(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir(PRIVATE_FOLDER)
        if mode != PRIVATE_FOLDER:
            path.chmod(mode)
        return
    if not path.is_dir():
        raise NotADirectoryError(20, os.strerror(20))


def take_after(new: Path, old: Path) -> None:
    """Copy the mode of `old` to its replacement `new`, and its owner and group where that is allowed."""
    found = old.stat()
    if hasattr(os, "chown"):
        for owner in (found.st_uid, -1):
            with contextlib.suppress(PermissionError):
                os.chown(new, owner, found.st_gid)
                break
    new.chmod(permissions(old))


def exists(path: Path) -> bool:
    """Return whether a file or folder exists; an invalid path, such as one that is too long, does not."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises for some of them


def may(path: Path, mode: int) -> bool:
    """Return whether this process has the access `mode` (`os.R_OK`, `os.W_OK`, `os.X_OK`)."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def is_writable(path: Path) -> bool:
    """Return whether this process may write the file, or create files in the folder."""
    return may(path, os.W_OK | (os.X_OK if path.is_dir() else 0))


def owner_of(path: Path) -> str:
    """Return the name of the file's owner, or the user id if it has no name."""
    try:
        return path.owner()
    except KeyError:
        return f"uid {path.stat().st_uid}"
    except (OSError, NotImplementedError):
        return "another user"


def is_on_read_only_mount(path: Path) -> bool:
    """Return whether the file system that holds the path is mounted read-only."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except (OSError, AttributeError):
        return False


def find_temporary_folder(*others: Path) -> Path | None:
    """
    Return the folder for temporary files, and make `tempfile` use it; None if there is none.

    It is TMPDIR or the system's default. If that is not writable, as in a container with a read-only root, it
    is the first writable folder of `others`.
    """
    with contextlib.suppress(FileNotFoundError):
        return Path(tempfile.gettempdir())
    for folder in others:
        if folder.is_dir() and is_writable(folder):
            tempfile.tempdir = str(folder)
            return folder
    return None


def permissions(path: Path) -> int:
    """Return the permission bits of a file or folder."""
    return stat.S_IMODE(path.stat().st_mode) & 0o777


def is_usable_folder(folders: Iterable[str | None]) -> bool:
    """Return whether one of these is a writable folder."""
    return any(folder and Path(folder).is_dir() and is_writable(Path(folder)) for folder in folders)
