"""
The command line: parse, call one function, print one report.

Each command is a module of its own, imported only when it is called; heavy imports wait until it runs.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, ClassVar

import click

from etl import __version__
from etl.cli.console import print_error, print_exception, print_note, set_up_logging
from etl.cli.options import EPILOG
from etl.errors import EtlError
from etl.secret import mask_logins, register_password
from etl.settings import register_secrets_of

if TYPE_CHECKING:
    from collections.abc import Iterator


def _set_verbosity(context: click.Context, _parameter: click.Parameter, verbosity: int) -> None:
    """Set the log level to the highest verbosity given to the command or to a group above it."""
    meta = context.find_root().meta
    meta["verbosity"] = max(verbosity, meta.get("verbosity", 0))
    set_up_logging(meta["verbosity"])


# Accepted before and after the command: `gcore-etl -v sync` and `gcore-etl sync -v`.
_VERBOSE = click.option(
    "-v",
    "--verbose",
    count=True,
    is_eager=True,  # so that it also applies to errors of other options
    show_default=False,
    expose_value=False,
    callback=_set_verbosity,
    help="Log more to stderr: -v for progress, -vv for debugging.",
)


class LazyGroup(click.Group):
    """Imports each command from the module of that name, and turns errors into one line and an exit code."""

    # In the order in which a new user needs them.
    short_helps: ClassVar[dict[str, str]] = {
        "sync": "Sync the database with the API once.",
        "watch": "Sync on a schedule until stopped.",
        "status": "Show what is stored, and how fresh it is.",
        "runs": "Show the latest runs.",
        "search": "Search the archived transcripts.",
        "export": "Export a table or view to a file.",
        "report": "Write an HTML report about the last 30 days.",
        "explore": "Browse a SQLite database in Datasette.",
        "schema": "Describe the tables and views.",
        "rejected": "List rejected records, or retry loading them.",
        "doctor": "Check everything that a sync needs.",
        "db": "Upgrade, downgrade and check the database schema.",
        "emulator": "Run a local emulator of the API.",
        "demo": "Try a sync, queries and a report without an account.",
        "completion": "Print a shell completion script.",
    }

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(self.short_helps)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, after importing its module; None if there is no such command."""
        if cmd_name not in self.short_helps:
            return None
        module = importlib.import_module(f"etl.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        command.short_help = self.short_helps[cmd_name]
        _add_verbosity(command)
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.short_helps.items()))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the options before the command."""
        register_secrets_of(os.environ)
        for word in args:
            if "://" in word:  # an error message may repeat it
                register_password(word)
        # Characters that stdout's encoding lacks are escaped; they must not make a command fail.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        with _errors_in_one_line(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401
        """Run the command."""
        with _errors_in_one_line(ctx):
            return super().invoke(ctx)


def _add_verbosity(command: click.Command) -> None:
    if not any(parameter.name == "verbose" for parameter in command.params):
        _VERBOSE(command)
    for each in command.commands.values() if isinstance(command, click.Group) else ():
        _add_verbosity(each)


@contextlib.contextmanager
def _errors_in_one_line(context: click.Context) -> Iterator[None]:
    """Turn every error into one line on stderr and an exit code; with `--verbose`, after its traceback."""
    try:
        yield
    except EtlError as error:
        print_exception(error)
        context.exit(error.exit_code)
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        path = (error.ctx or context).command_path
        # The message repeats what was typed, which may be a database URL in the wrong place.
        print_error(f"{mask_logins(error.format_message()).rstrip('.')} (see {path} --help)")
        context.exit(error.exit_code)
    except click.Abort:
        print_note("")
        print_error("nothing was changed, because the question was not confirmed: answer y, or use --yes")
        context.exit(1)
    except KeyboardInterrupt:
        print_error("interrupted")
        context.exit(128 + signal.SIGINT)
    except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
        raise
    except Exception as error:  # noqa: BLE001 - the last resort, so that users never see a traceback
        print_exception(error)
        context.exit(1)


_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True}


@click.group(cls=LazyGroup, context_settings=_CONTEXT, epilog=EPILOG)
@click.version_option(__version__, prog_name="gcore-etl", message="%(prog)s %(version)s")
@_VERBOSE
def cli() -> None:
    """Keep a complete, current, permanent copy of your Gcore AI tasks in SQLite or Postgres."""
