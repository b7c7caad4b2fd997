"""
Output: data and reports on stdout; logs, errors and notes on stderr. Secrets are masked in all of it.

A command that only reads prints with `print_data`, and fails if stdout cannot be written. A command that
changes something reports with `print_report`: an error of stdout is logged and does not change the exit code.
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
from etl.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

logger = logging.getLogger(__name__)

_TIME = "%Y-%m-%dT%H:%M:%SZ"
_STAMPED = "etl.cli.console.stamped"
_WIDTH_WITHOUT_TERMINAL = 160
# For encodings without these characters.
_ASCII = str.maketrans({"·": "|", "…": "..."})


class _CleanFormatter(logging.Formatter):
    """Formats a record and masks secrets; in our own messages only what is unmistakably a secret."""

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
    """Log to stderr: by default our warnings, with verbosity 1 our progress, with 2 also all libraries."""
    handler = _StderrHandler()
    handler.setFormatter(_CleanFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.DEBUG if verbosity > 1 else logging.WARNING)
    if not verbosity:
        # Errors of libraries are raised and reported once, in our words; uvicorn only logs its own.
        handler.addFilter(lambda record: record.name.partition(".")[0] in {"etl", "uvicorn"})
    levels = (logging.WARNING, logging.INFO, logging.DEBUG)
    logging.getLogger("etl").setLevel(levels[min(verbosity, 2)])


def stamp_lines() -> None:
    """Start every line for people with a timestamp from now on, for a command that runs for days."""
    click.get_current_context().find_root().meta[_STAMPED] = True


def print_data(text: str) -> None:
    """Print data on stdout. Raises ExportError if it is not writable, BrokenPipeError without a reader."""
    with _to_stdout():
        click.echo(_encodable(text, sys.stdout))


def print_report(report: object) -> None:
    """Print a report on stdout, text or else as one line of JSON; if that fails, log a warning and go on."""
    try:
        print_data(_stamped(report) if isinstance(report, str) else to_json(report))
    except (ExportError, BrokenPipeError) as error:
        reason = "the reader of standard output has exited" if isinstance(error, BrokenPipeError) else error
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


def print_note(text: str) -> None:
    """Print a note on stderr; an error of stderr is ignored."""
    with contextlib.suppress(OSError):
        click.echo(_encodable(_stamped(text), sys.stderr), err=True)


def print_error(message: str) -> None:
    """Print an error on stderr, as one line."""
    print_note(f"Error: {clean_line(' '.join(message.split()))}")


def print_exception(error: Exception) -> None:
    """Print an exception on stderr as one line; with `--verbose`, after its traceback."""
    if logging.getLogger("etl").isEnabledFor(logging.INFO):
        print_note(clean("".join(traceback.format_exception(error)).rstrip("\n")))
    print_error(message_of(error))


def message_of(error: BaseException) -> str:
    """Return the one-line message for an exception, without secrets that a library put into its text."""
    if isinstance(error, EtlError):
        message = str(error)
    elif isinstance(error, MemoryError):
        message = "out of memory: raise the memory limit, or lower --page-size and --concurrency"
    elif isinstance(error, OSError):
        name = f" ({error.filename})" if error.filename else ""
        reason = clean(f"{error.strerror or error}{name}")
        message = f"{reason}: check disk space, permissions and resource limits"
    else:
        message = f"unexpected {type(error).__name__}: {clean(str(error))}; --verbose shows where"
    return clean_line(" ".join(message.split()))


def _encodable(text: str, stream: TextIO | None) -> str:
    """Return the text with ASCII in place of our own symbols if the stream's encoding lacks them."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return text.translate(_ASCII)
    return text


def _stamped(text: str) -> str:
    context = click.get_current_context(silent=True)
    if context is None or _STAMPED not in context.find_root().meta:
        return text
    now = dt.datetime.now(dt.UTC).strftime(_TIME)
    return "\n".join(f"{now}  {line}" for line in text.splitlines())


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table with numbers aligned to the right; plain text unless stdout is a terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index, name in enumerate(columns):
        is_number = any(isinstance(row[index], (int, float)) for row in rows)
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_encodable(format_cell(value), sys.stdout)) for value in row))
    with _to_stdout():
        width = None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL
        Console(width=width, highlight=False).print(table)


def format_cell(value: object) -> str:
    """Return one value as text for people, without control characters."""
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
    # Text from a server must not control the terminal.
    return printable(str(value))
