"""The options that set what the environment can set too; names, variables and defaults come from Settings."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from etl.errors import ConfigurationError
from etl.settings import Settings, format_duration

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

_FIELDS = {field.name: field for field in dataclasses.fields(Settings)}


def setting_option(*declarations: str, name: str, help: str) -> Callable[[F], F]:  # noqa: A002
    """Make an option of one setting; a value that does not parse is a usage error."""
    field = _FIELDS[name]
    parse, variable = field.metadata["parse"], field.metadata["variable"]

    def convert(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
        if value is not None:
            try:
                parse(value)
            except ValueError as error:
                raise click.BadParameter(str(error)) from None
        return value

    shown = _shown(field.default)
    text = f"{help}  [env: {variable}" + (f"; default: {shown}]" if shown else "]")
    return click.option(*declarations, name, help=text, callback=convert, metavar="TEXT")


def _shown(default: object) -> str | None:
    if isinstance(default, dt.timedelta):
        return format_duration(default)
    return None if default is None else str(default)


def database_option(function: F) -> F:
    """Add `-d/--database-url`."""
    return setting_option(
        "-d", "--database-url", name="database_url", help="Where the copy is kept: SQLite or Postgres."
    )(function)


def load_settings(**options: str | None) -> Settings:
    """Return the options merged over the environment. Raises ConfigurationError for what cannot be used."""
    settings = Settings.load(None, **options)
    if re.match("sqlite:///(?!/)", settings.database_url):
        try:
            Path.cwd()
        except FileNotFoundError:
            raise ConfigurationError(
                "the current folder no longer exists: change to another one, or write the whole path (-d)"
            ) from None
    return settings
