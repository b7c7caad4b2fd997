"""Options that mirror a setting; variables, defaults and bounds come from `Settings`."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from etl.cli.params import Setting
from etl.durations import duration_as_option
from etl.errors import ConfigurationError
from etl.settings import Settings, setting_specs

if TYPE_CHECKING:
    from collections.abc import Callable

    from etl.settings import SettingSpec

F = TypeVar("F", bound="Callable[..., Any]")

_SPECS = setting_specs()
# Larger values only exist to keep numbers within what databases can store.
_UNSHOWN_MAXIMUM = 1_000_000
_DEFAULTS = {field.name: field.default for field in dataclasses.fields(Settings)}


def setting_option(*declarations: str, name: str, help: str) -> Callable[[F], F]:  # noqa: A002
    """Return a decorator that adds the option of one setting. An invalid value is a usage error."""
    spec = _SPECS[name]
    text = f"{help}  [{'; '.join(_facts(spec, _DEFAULTS[name]))}]"
    return click.option(*declarations, name, help=text, type=Setting(spec))


def _facts(spec: SettingSpec, default: object) -> list[str]:
    facts = [f"env: {spec.variable}"]
    if isinstance(default, dt.timedelta):
        facts.append(f"default: {duration_as_option(default)}")
    elif default is not None or spec.choices:
        facts.append(f"default: {spec.choices[0] if default is None else default}")
    if spec.bounds is not None:
        minimum, maximum = spec.bounds
        facts.append(f"x>={minimum:g}" if maximum >= _UNSHOWN_MAXIMUM else f"{minimum:g}<=x<={maximum:g}")
    return facts


def database_option(function: F) -> F:
    """Add `-d/--database-url`."""
    return setting_option(
        "-d", "--database-url", name="database_url", help="URL of the SQLite or Postgres database."
    )(function)


def load_settings(**options: str | None) -> Settings:
    """Return the options merged with the environment. Raises ConfigurationError for invalid values."""
    settings = Settings.load(None, **options)
    if re.match("sqlite:///(?!/)", settings.database_url):
        try:
            Path.cwd()
        except FileNotFoundError:
            raise ConfigurationError(
                "the current folder no longer exists: change to another folder, "
                "or write the database's absolute path (-d sqlite:////path/to/file.db)"
            ) from None
    return settings
