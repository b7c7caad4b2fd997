"""
The targets of an export: a file, the standard output, or a folder with a file for each day or month.

Incomplete output has a temporary name in the same folder. So a file always contains either the previous
content or the complete export, whatever happens. A folder is replaced by two renames: if the process is
killed between them, the previous export remains beside the target, as `.NAME.….replaced`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from etl.errors import ExportError
from etl.files import PRIVATE_FOLDER, create_file, is_writable, make_folder, permissions, take_after

if TYPE_CHECKING:
    from collections.abc import Iterator

# The prefixes of the folders in a partitioned export.
PARTITIONS = ("day=", "month=", "partition_day=", "partition_month=")
_SQLITE = b"SQLite format 3\0"


@contextlib.contextmanager
def open_output(target: Path | None) -> Iterator[IO[bytes]]:
    """
    Yield a file that replaces the target if the block succeeds; None is the standard output.

    A new file is private (0600); a replaced file keeps its mode and owner. If the target is a link, the
    file it points to is replaced, and the link stays. Pipes and devices are written directly. Raises
    ExportError if the target cannot be written, or is a database.
    """
    if target is None:
        with _write_errors("the standard output"):
            if sys.stdout is None:
                raise ExportError("standard output is closed: name a file")
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        return
    with _write_errors(target):
        target = Path(os.path.realpath(target))
        if target.exists() and not target.is_file():
            with target.open("wb") as file:
                yield file
            return
        if _is_database(target):
            raise ExportError(f"{target} is a database, or belongs to one: choose another file")
        if target.exists() and not is_writable(target):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        descriptor, partial = tempfile.mkstemp(
            prefix=f".{target.name[:50]}.", suffix=".partial", dir=target.parent
        )
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
            if target.exists():
                take_after(Path(partial), target)
            Path(partial).replace(target)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def open_part(folder: Path, period: str, name: str) -> Iterator[IO[bytes]]:
    """Yield a new file in a new subfolder, with modes that follow from the mode of the folder."""
    mode = permissions(folder)
    make_folder(folder / period, mode)
    with os.fdopen(create_file(folder / period / name, mode & 0o666), "wb") as file:
        yield file


@contextlib.contextmanager
def open_folder(target: Path, *, may_replace: bool) -> Iterator[Path]:
    """
    Yield an empty folder that replaces the target if the block succeeds.

    A new folder is private (0700). An existing one is replaced only with `may_replace` and only if it
    contains nothing but an export; the new folder and its files keep its mode.
    """
    with _write_errors(target):
        _refuse(target, may_replace=may_replace)
    with _write_errors(target):
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name[:50]}.", suffix=".partial", dir=target.parent))
        try:
            if target.exists():
                partial.chmod(permissions(target) | PRIVATE_FOLDER)
            yield partial
            if target.exists():
                take_after(partial, target)
                _replace_folder(target, partial)
            else:
                partial.rename(target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def _replace_folder(target: Path, new: Path) -> None:
    """Rename the new folder to the target and delete the previous one, which stays if that fails."""
    replaced = new.with_suffix(".replaced")
    try:
        target.rename(replaced)
        new.rename(target)
    except BaseException:
        if replaced.exists():
            replaced.rename(target)
        raise
    try:
        shutil.rmtree(replaced)
    except OSError as error:
        raise ExportError(
            f"the export is complete, but the previous one in {replaced} cannot be deleted: {error.strerror}"
        ) from error


def _is_database(target: Path) -> bool:
    """Return whether this is an SQLite database, or a file that belongs to one: its WAL or our lock."""
    main = target.with_name(re.sub(r"(-(wal|shm|journal)|\.lock)$", "", target.name))
    if not main.is_file():
        return False
    with main.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _refuse(target: Path, *, may_replace: bool) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise ExportError(f"{target} is not a folder: choose another")
    found = list(target.iterdir()) if target.exists() else []
    others = [path.name for path in found if not path.name.startswith(PARTITIONS)]
    if others:
        raise ExportError(
            f"{target} contains files that are not part of an export ({others[0]}): choose another folder"
        )
    if found and not may_replace:
        raise ExportError(f"{target} already contains an export: --force replaces it")


@contextlib.contextmanager
def _write_errors(target: Path | str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ExportError(f"cannot write {target}: {error.strerror or error}") from error
