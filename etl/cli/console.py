"""
What appears on the screen: data on stdout; logs, errors and remarks on stderr, without secrets.

A command that prints what it found uses `show`, and fails where nothing can be printed. One that does
something uses `say`: whether its report can be printed changes nothing about what it did.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import sys
import time
import traceback
from typing import TYPE_CHECKING, TextIO

import click

from etl.errors import EtlError, ExportError
from etl.json_output import to_json
from etl.secret import clean, clean_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

logger = logging.getLogger(__name__)

# As in `2026-12-01T14:39:57Z`; the time is in UTC.
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_STAMPED = "etl.cli.console.stamped"
_WIDTH_WITHOUT_TERMINAL = 160


class _CleanFormatter(logging.Formatter):
    """Formats a record without secrets: our own messages keep their words, whatever a password is."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", _TIME)
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        is_ours = record.name.partition(".")[0] == "etl" and not record.exc_info
        return clean_line(text) if is_ours else clean(text)


class _StderrHandler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Report a failure to log, unless stderr itself cannot be written."""
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)


def set_up_logging(verbosity: int) -> None:
    """Log to stderr: warnings of ours by default, what is done with 1, everything of everybody with 2."""
    handler = _StderrHandler()
    handler.setFormatter(_CleanFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.DEBUG if verbosity > 1 else logging.WARNING)
    if not verbosity:
        # What goes wrong in a library is raised, and said once, in our words; a server raises nothing.
        handler.addFilter(lambda record: record.name.partition(".")[0] in {"etl", "uvicorn"})
    levels = (logging.WARNING, logging.INFO, logging.DEBUG)
    logging.getLogger("etl").setLevel(levels[min(verbosity, 2)])


def stamp_lines() -> None:
    """Start each line for people with the time from now on, as a command that runs for days must."""
    click.get_current_context().find_root().meta[_STAMPED] = True


def show(text: str) -> None:
    """
    Print on stdout what the command is there to print.

    Raises ExportError where that cannot be, and BrokenPipeError where the reader has gone.
    """
    with _to_stdout():
        click.echo(text)


def say(text: str) -> None:
    """Print on stdout what the command did; where that cannot be, say so on stderr and go on."""
    _report(_stamped(text))


def say_json(value: object) -> None:
    """Print on stdout what the command did, as one JSON object on one line; otherwise like `say`."""
    _report(to_json(value))


def _report(text: str) -> None:
    try:
        show(text)
    except (ExportError, BrokenPipeError) as error:
        reason = "its reader has gone" if isinstance(error, BrokenPipeError) else error
        logger.warning("the report could not be printed: %s", reason)


@contextlib.contextmanager
def _to_stdout() -> Iterator[None]:
    if sys.stdout is None:
        raise ExportError("standard output is closed")
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ExportError(f"standard output cannot be written: {error.strerror or error}") from error


def note(text: str) -> None:
    """Say something on stderr; where that cannot be, there is nowhere to say so."""
    with contextlib.suppress(OSError):
        click.echo(_stamped(text), err=True)


def print_error(message: str) -> None:
    """Say on stderr, in one line, what is wrong."""
    note(f"Error: {clean_line(' '.join(message.split()))}")


def explain(error: Exception) -> None:
    """Say on stderr, in one line, what went wrong; with `--verbose`, after the traceback."""
    if logging.getLogger("etl").isEnabledFor(logging.INFO):
        note(clean("".join(traceback.format_exception(error)).rstrip("\n")))
    print_error(message_of(error))


def message_of(error: BaseException) -> str:
    """Return what went wrong, in one line: what a driver or a library says of it is cleaned of secrets."""
    if isinstance(error, EtlError):
        message = str(error)
    elif isinstance(error, MemoryError):
        message = "there is not enough memory: raise its limit, or lower --page-size and --concurrency"
    elif isinstance(error, OSError):
        name = f" ({error.filename})" if error.filename else ""
        reason = clean(f"{error.strerror or error}{name}")
        message = f"the operating system reports: {reason}; check space, permissions and limits there"
    else:
        message = f"unexpected {type(error).__name__}: {clean(str(error))}; --verbose shows where"
    return clean_line(" ".join(message.split()))


def _stamped(text: str) -> str:
    context = click.get_current_context(silent=True)
    if context is None or _STAMPED not in context.find_root().meta:
        return text
    now = dt.datetime.now(dt.UTC).strftime(_TIME)
    return "\n".join(f"{now}  {line}" for line in text.splitlines())


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None
) -> None:
    """Print a table: numbers to the right, plain text when stdout is no terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    listed = [list(row) for row in rows]
    table = Table(
        box=SIMPLE_HEAD,
        show_edge=False,
        title=title,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
    )
    for index, name in enumerate(columns):
        is_number = any(isinstance(row[index], (int, float)) for row in listed)
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in listed:
        table.add_row(*(Text(format_cell(value)) for value in row))
    with _to_stdout():
        width = None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL
        Console(width=width, highlight=False).print(table)


def format_cell(value: object) -> str:
    """Write one value the way a person reads it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    if hasattr(value, "strftime"):
        return str(value.strftime("%Y-%m-%d %H:%M:%S"))
    # What a server sent must not steer the terminal.
    return "".join(character if character.isprintable() else " " for character in str(value))
