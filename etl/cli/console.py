"""What appears on the screen: logs and complaints on stderr, cleaned of secrets; tables on stdout."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, TextIO
from urllib.parse import parse_qsl, unquote

import click

from etl.errors import Interrupted
from etl.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_secrets: list[Secret] = []


def keep_secret(*secrets: Secret | None) -> None:
    """Mask these from now on in everything that is logged or complained about."""
    _secrets.extend(secret for secret in secrets if secret is not None and secret not in _secrets)


def keep_password_secret(database_url: str) -> None:
    """
    Mask the passwords in a database URL, as they are written there and as they are meant.

    One that should have been quoted is read as far as it may reach: rather too much is masked.
    """
    if database_url.lstrip().startswith("sqlite"):
        return
    login = database_url.partition("://")[2].rpartition("@")[0]
    options = dict(parse_qsl(database_url.partition("?")[2]))
    for password in (login.partition(":")[2], options.get("password"), options.get("sslpassword")):
        if password:
            keep_secret(Secret(password), Secret(unquote(password)))


def redact(text: str) -> str:
    """Mask every secret that was ever told."""
    for secret in _secrets:
        text = secret.redact(text)
    return text


class _RedactingFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class _StderrHandler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Let a signal through, which logging would take for a failure to write, and forget."""
        error = sys.exception()
        if isinstance(error, Interrupted):
            raise error
        super().handleError(record)


def set_up_logging(verbosity: int) -> None:
    """Log to stderr: warnings of ours by default, what is done with 1, everything of everybody with 2."""
    handler = _StderrHandler()
    handler.setFormatter(_RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.DEBUG if verbosity > 1 else logging.WARNING)
    if not verbosity:
        # What goes wrong in a library is raised, and said once, in our words.
        handler.addFilter(logging.Filter("etl"))
    levels = (logging.WARNING, logging.INFO, logging.DEBUG)
    logging.getLogger("etl").setLevel(levels[min(verbosity, 2)])


def complain(message: str) -> None:
    """Say on stderr, in one line, what is wrong."""
    click.echo(f"Error: {redact(' '.join(message.split()))}", err=True)


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
    width = None if os.isatty(1) else 160
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
