"""
The command line: parse, call one function, print one report.

Commands live in modules of their own, imported when they are needed; what is heavy is imported when they run.
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
from etl.cli.console import explain, note, print_error, set_up_logging
from etl.errors import EtlError
from etl.secret import mask_logins, register_password
from etl.settings import register_secrets_of

if TYPE_CHECKING:
    from collections.abc import Iterator


def _set_verbosity(context: click.Context, _parameter: click.Parameter, verbosity: int) -> None:
    """Log as much as the most talkative of the command and its groups asks for."""
    meta = context.find_root().meta
    meta["verbosity"] = max(verbosity, meta.get("verbosity", 0))
    set_up_logging(meta["verbosity"])


# Both `gcore-etl -v sync` and `gcore-etl sync -v` are what people type.
_VERBOSE = click.option(
    "-v",
    "--verbose",
    count=True,
    expose_value=False,
    callback=_set_verbosity,
    help="Tell more on stderr: -v what is done, -vv everything.",
)


class LazyGroup(click.Group):
    """Finds each command in the module named after it, and turns errors into one line and an exit code."""

    modules: ClassVar[dict[str, str]] = {
        "sync": "sync",
        "watch": "watch",
        "status": "status",
        "runs": "runs",
        "search": "search",
        "export": "export",
        "report": "report",
        "explore": "explore",
        "schema": "schema",
        "rejected": "rejected",
        "doctor": "doctor",
        "db": "db",
        "emulator": "emulator",
        "demo": "demo",
        "completion": "completion",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the commands in the order in which a newcomer meets them."""
        del ctx
        return list(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command."""
        del ctx
        if cmd_name not in self.modules:
            return None
        module = importlib.import_module(f"etl.cli.{self.modules[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        _add_verbosity(command)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options before the command."""
        register_secrets_of(os.environ)
        for word in args:
            if "://" in word:  # wherever it was typed, an error may repeat it
                register_password(word)
        # What stdout's encoding cannot say is escaped; it is no reason to fail.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        with _in_one_line(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401
        """Run the command."""
        with _in_one_line(ctx):
            return super().invoke(ctx)


def _add_verbosity(command: click.Command) -> None:
    if not any(parameter.name == "verbose" for parameter in command.params):
        _VERBOSE(command)
    for each in command.commands.values() if isinstance(command, click.Group) else ():
        _add_verbosity(each)


@contextlib.contextmanager
def _in_one_line(context: click.Context) -> Iterator[None]:
    """Turn every error into one line and an exit code, with `--verbose` after a traceback."""
    try:
        yield
    except EtlError as error:
        explain(error)
        context.exit(error.exit_code)
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        path = (error.ctx or context).command_path
        # It repeats what was typed, a database URL in the wrong place for one.
        print_error(f"{mask_logins(error.format_message()).rstrip('.')} (see {path} --help)")
        context.exit(error.exit_code)
    except click.Abort:
        note("")
        print_error("nothing was done, because nobody agreed: --yes does it without asking")
        context.exit(1)
    except KeyboardInterrupt:
        print_error("interrupted")
        context.exit(128 + signal.SIGINT)
    except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
        raise
    except Exception as error:  # noqa: BLE001 - the last resort, so that a user never meets a traceback
        explain(error)
        context.exit(1)


_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(cls=LazyGroup, context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="gcore-etl", message="%(prog)s %(version)s")
@_VERBOSE
def cli() -> None:
    """Keep a complete, current, permanent copy of your Gcore AI tasks in SQLite or Postgres."""
