"""Running the command against one emulator and one database, and checking its errors."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click
from support.processes import Ended, start_command

from etl.cli import cli

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from support.processes import Child, Nursery


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """Runs `gcore-etl` in an environment of its own, to which keyword arguments are added."""

    nursery: Nursery
    environment: dict[str, str]

    @property
    def database_url(self) -> str:
        """The URL of the database."""
        return self.environment["GCORE_ETL_DATABASE_URL"]

    def __call__(self, *arguments: str, **environment: str) -> Ended:
        """Run it to its end, in a process that has already loaded the program."""
        return self.nursery.run({**self.environment, **environment}, *arguments)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start it in a new process, as a shell does."""
        return start_command({**self.environment, **environment}, *arguments)


@dataclasses.dataclass(frozen=True, slots=True)
class Sandboxed:
    """
    A sandbox in which commands run as other users.

    `view` is a read-only mount of `folder`.
    """

    nursery: Nursery
    folder: Path
    view: Path


@dataclasses.dataclass(frozen=True, slots=True)
class Person:
    """A user who runs the command; `user` and `group` are ids."""

    sandbox: Sandboxed
    environment: dict[str, str]
    user: int
    group: int

    def __call__(self, *arguments: str, umask: int = 0o022, **options: Any) -> Ended:
        """Run it to its end."""
        return self.start(*arguments, umask=umask, **options).await_end()

    def start(self, *arguments: str, umask: int = 0o022, **options: Any) -> Child:
        """Start it, with the options of `Nursery.start`."""
        return self.sandbox.nursery.start(
            self.environment, *arguments, user=(self.user, self.group), umask=umask, **options
        )


def error_of(ended: Ended, code: int) -> str:
    """Return the error message, which must be the only line on stderr besides log messages."""
    assert ended.code == code, ended
    (line,) = ended.complaints
    assert line.startswith("Error: "), line
    return line


def all_commands() -> dict[str, click.Command]:
    """Return every command and subcommand by the words that call it."""
    context = click.Context(cli)
    found: dict[str, click.Command] = {"": cli}
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        found[name] = command
        subcommands = command.commands.items() if isinstance(command, click.Group) else ()
        found.update({f"{name} {each}": subcommand for each, subcommand in subcommands})
    return found
