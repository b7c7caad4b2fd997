"""The command, pointed at one emulator and one database, and what is expected of its errors."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from support.processes import Ended, start_command

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from support.processes import Child, Nursery


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """Runs `gcore-etl` in an environment of its own; what is given by name is added to that."""

    nursery: Nursery
    environment: dict[str, str]

    @property
    def database_url(self) -> str:
        """Name the database."""
        return self.environment["GCORE_ETL_DATABASE_URL"]

    def __call__(self, *arguments: str, **environment: str) -> Ended:
        """Run it to its end, in a process that has loaded the program already."""
        return self.nursery.run({**self.environment, **environment}, *arguments)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start it as a shell does."""
        return start_command({**self.environment, **environment}, *arguments)


@dataclasses.dataclass(frozen=True, slots=True)
class Sandboxed:
    """
    Where commands run as other users.

    What is in `folder` can be seen in `view` as well, which is mounted read-only.
    """

    nursery: Nursery
    folder: Path
    view: Path


@dataclasses.dataclass(frozen=True, slots=True)
class Person:
    """Somebody who runs the command: `user` and `group` are numbers."""

    sandbox: Sandboxed
    environment: dict[str, str]
    user: int
    group: int

    def __call__(self, *arguments: str, umask: int = 0o022, **options: Any) -> Ended:
        """Run it to its end."""
        return self.start(*arguments, umask=umask, **options).await_end()

    def start(self, *arguments: str, umask: int = 0o022, **options: Any) -> Child:
        """Start it, with the options of a nursery."""
        return self.sandbox.nursery.start(
            self.environment, *arguments, user=(self.user, self.group), umask=umask, **options
        )


def error_of(ended: Ended, code: int) -> str:
    """Give the one line that tells why it failed; there is nothing else on stderr but what is logged."""
    assert ended.code == code, ended
    (line,) = ended.complaints
    assert line.startswith("Error: "), line
    return line
