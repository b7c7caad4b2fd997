"""
Where an export goes: a file, the standard output, or a folder with a file for each day or month.

What is half written has another name, beside the one it will have. So whatever happens, under that name there
is what was there before, or all of it.
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

# What the folders of an export are called by.
EXPORTED = ("day=", "month=", "partition_day=", "partition_month=")
_SQLITE = b"SQLite format 3\0"


@contextlib.contextmanager
def open_output(target: Path | None) -> Iterator[IO[bytes]]:
    """
    Open a file that takes its name when the block ends well; None is the standard output.

    A new one is private (0600); one that is replaced passes on its mode and owner. What a link leads to is
    written, and the link stays. A pipe or a device gets what is written at once. Raises ExportError where
    nothing can be written, and for a name that is a database's.
    """
    if target is None:
        with _explained("the standard output"):
            if sys.stdout is None:
                raise ExportError("there is no standard output: name a file")
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        return
    with _explained(target):
        target = Path(os.path.realpath(target))
        if target.exists() and not target.is_file():
            with target.open("wb") as file:
                yield file
            return
        if _is_database(target):
            raise ExportError(f"{target} is a database, or belongs to one: name another file")
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
    """Open a new file in a new folder inside one that is being filled; their modes follow from that one's."""
    mode = permissions(folder)
    make_folder(folder / period, mode)
    with os.fdopen(create_file(folder / period / name, mode & 0o666), "wb") as file:
        yield file


@contextlib.contextmanager
def open_folder(target: Path, *, may_replace: bool) -> Iterator[Path]:
    """
    Give a folder to fill that takes its name when the block ends well.

    A new one is private (0700). One that is there is replaced only if told, and only if nothing is in it but
    an export; it passes on its mode, to the files in it as well.
    """
    with _explained(target):
        _refuse(target, may_replace=may_replace)
    with _explained(target):
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name[:50]}.", suffix=".partial", dir=target.parent))
        try:
            if target.exists():
                partial.chmod(permissions(target) | PRIVATE_FOLDER)
            yield partial
            if target.exists():
                take_after(partial, target)
                aside = partial.with_suffix(".replaced")
                target.rename(aside)
                partial.rename(target)
                shutil.rmtree(aside)
            else:
                partial.rename(target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def _is_database(target: Path) -> bool:
    """Tell whether this is what SQLite keeps a database in, or stands beside one: its log, our lock."""
    main = target.with_name(re.sub(r"(-(wal|shm|journal)|\.lock)$", "", target.name))
    if not main.is_file():
        return False
    with main.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _refuse(target: Path, *, may_replace: bool) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise ExportError(f"{target} is no folder: name another")
    found = list(target.iterdir()) if target.exists() else []
    others = [path.name for path in found if not path.name.startswith(EXPORTED)]
    if others:
        raise ExportError(f"{target} holds what is no export ({others[0]}): name another folder")
    if found and not may_replace:
        raise ExportError(f"{target} holds an export already: --force replaces it")


@contextlib.contextmanager
def _explained(target: Path | str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ExportError(f"cannot write {target}: {error.strerror or error}") from error
