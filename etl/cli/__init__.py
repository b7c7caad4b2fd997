"""
The command line: parse, call one function, print one report.

Commands live in modules of their own, imported when they are needed; what is heavy is imported when they run.
"""

from __future__ import annotations

import importlib
import logging
import traceback
from typing import Any, ClassVar

import click

from etl import __version__
from etl.cli.console import complain, redact, set_up_logging
from etl.errors import EtlError


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
        if not any(parameter.name == "verbose" for parameter in command.params):
            _VERBOSE(command)
        return command

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401
        """Run the command; an error becomes one line, with `--verbose` a traceback before it."""
        try:
            return super().invoke(ctx)
        except EtlError as error:
            _explain(str(error))
            ctx.exit(error.exit_code)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:  # noqa: BLE001 - the last resort, so that a user never meets a traceback
            _explain(f"unexpected {type(error).__name__}: {error}; --verbose shows where")
            ctx.exit(1)


def _explain(message: str) -> None:
    """Say what went wrong; with `--verbose`, after the traceback."""
    if logging.getLogger("etl").isEnabledFor(logging.INFO):
        click.echo(redact(traceback.format_exc()), err=True, nl=False)
    complain(message)


_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(cls=LazyGroup, context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="gcore-etl", message="%(prog)s %(version)s")
@_VERBOSE
def cli() -> None:
    """Keep a complete, current, permanent copy of your Gcore AI tasks in SQLite or Postgres."""
