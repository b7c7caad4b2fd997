"""
A sandbox in which commands run as other users, with read-only mounts.

Run as a script, by root, it enters a mount namespace of its own, mounts the given folders, and executes the
given command. Inside, other users can read this Python and this checkout, wherever they are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNER, STRANGER, GROUP = 11111, 12345, 20000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """
    The mounts: read-only views of folders, or everything read-only except one folder.

    `views` are pairs of a folder and the empty folder in which it can be seen but not changed. With
    `only_writable` there is no place for temporary files either.
    """

    views: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    only_writable: str | None = None

    @property
    def command(self) -> list[str]:
        """The prefix of a command that runs it inside the sandbox."""
        checkout = Path(__file__).parents[2]
        readable = [
            sys.base_prefix,
            sys.prefix,
            str(checkout),
            *(folder for pair in self.views for folder in pair),
        ]
        if self.only_writable is not None:
            readable.append(self.only_writable)
        spec = json.dumps(dataclasses.asdict(self) | {"readable": readable})
        return ["unshare", "--mount", sys.executable, "-P", __file__, spec]


def missing() -> str | None:
    """Return why a sandbox is not possible here, or None."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "only root can act as another user"
    if shutil.which("unshare") is None:
        return "there is no unshare here"
    tried = ["unshare", "--mount", "mount", "--make-rprivate", "/"]
    return "nothing can be mounted here" if subprocess.run(tried, check=False).returncode else None


@contextlib.contextmanager
def as_user(user: int, group: int = GROUP) -> Iterator[None]:
    """Act as another user in the file system."""
    before = os.geteuid(), os.getegid()
    _act_as(user, group)
    try:
        yield
    finally:
        _act_as(*before)


def _act_as(user: int, group: int) -> None:
    os.seteuid(0)  # only root can change to another user
    os.setegid(group)
    os.seteuid(user)


@contextlib.contextmanager
def shared_folder() -> Iterator[Path]:
    """Yield a folder that every user can traverse."""
    folder = Path(tempfile.mkdtemp(prefix="gcore-etl-shared-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _enter(spec: dict[str, object]) -> None:
    _run("mount", "--make-rprivate", "/")
    _reveal([Path(os.path.realpath(place)) for place in _strings(spec["readable"])])
    for folder, view in spec["views"]:  # type: ignore[attr-defined]
        _run("mount", "--bind", folder, view)
        _run("mount", "-o", "remount,bind,ro", view)
    if spec["only_writable"] is not None:
        _close_all_but(str(spec["only_writable"]))


def _strings(value: object) -> list[str]:
    assert isinstance(value, list)
    return [str(each) for each in value]


def _reveal(places: list[Path]) -> None:
    """Mount them again at the same path, with parent folders that every user can traverse."""
    opened = {place: os.open(place, os.O_PATH) for place in places}
    closed = {place: above for place in places if (above := _closed_above(place)) is not None}
    for above in sorted(set(closed.values())):
        _run("mount", "-t", "tmpfs", "-o", "mode=755", "none", str(above))
    for place in sorted(closed):
        place.mkdir(parents=True, exist_ok=True)
        # Files that were opened before can no longer be found by their path.
        source = f"/proc/self/fd/{opened[place]}"
        subprocess.run(
            ["mount", "--no-canonicalize", "--bind", source, str(place)], check=True, pass_fds=opened.values()
        )


def _closed_above(place: Path) -> Path | None:
    return next((above for above in reversed(place.parents) if not above.stat().st_mode & 0o001), None)


def _close_all_but(writable: str) -> None:
    _run("mount", "--bind", writable, writable)
    with Path("/proc/self/mounts").open(encoding="utf-8") as mounts:
        points = [line.split()[1] for line in mounts]
    for point in points:
        if point != writable and not point.startswith(("/proc", "/sys")):
            # Some file systems cannot be remounted read-only; no test writes to those.
            subprocess.run(["mount", "-o", "remount,bind,ro", point], check=False, capture_output=True)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    _enter(json.loads(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])
