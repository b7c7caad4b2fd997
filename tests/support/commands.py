"""The command, pointed at one emulator and one database, and what is expected of its errors."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from support.processes import Ended, start_command

if TYPE_CHECKING:
    import subprocess

    from support.processes import Nursery


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


def error_of(ended: Ended, code: int) -> str:
    """Give the one line that tells why it failed; there is nothing else on stderr but what is logged."""
    assert ended.code == code, ended
    (line,) = ended.complaints
    assert line.startswith("Error: "), line
    return line
