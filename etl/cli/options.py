"""Options that several commands share. Variables, defaults and bounds of settings come from `Settings`."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from etl.cli.params import Parsed
from etl.durations import duration_as_option
from etl.errors import ConfigurationError
from etl.settings import Settings, setting_specs

if TYPE_CHECKING:
    from collections.abc import Callable

    from etl.settings import SettingSpec

F = TypeVar("F", bound="Callable[..., Any]")

EXIT_CODES = {
    "0": "success",
    "1": "failed, not completed, or reached --timeout: worth retrying",
    "2": "invalid usage",
    "3": "configuration or credentials must be fixed",
    "4": "the database cannot be used",
    "5": "records were rejected, with --strict",
    "75": "another sync is running",
    "129, 130, 143": "interrupted by SIGHUP, Ctrl-C or SIGTERM",
}
# \b keeps click from wrapping the list into one paragraph.
EPILOG = "\n".join(["\b", "Exit codes:", *(f"  {code:14} {text}" for code, text in EXIT_CODES.items())])

_SPECS = setting_specs()
# Larger values only exist to keep numbers within what databases can store.
_UNSHOWN_MAXIMUM = 1_000_000
_DEFAULTS = {field.name: field.default for field in dataclasses.fields(Settings)}

wait_option = click.option("--wait", is_flag=True, help="Wait for a running sync to finish.")


def json_option(what: str) -> Callable[[F], F]:
    """Return a decorator that adds `--json`, which prints `what`."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what}.")


def limit_option(what: str, default: int, maximum: int = 1_000_000) -> Callable[[F], F]:
    """Return a decorator that adds `--limit`, the maximum number of `what`."""
    limits = click.IntRange(1, maximum)
    return click.option("--limit", type=limits, default=default, help=f"Maximum number of {what}.")


def setting_option(*names: str, help: str, **more: Any) -> Callable[[F], F]:  # noqa: A002, ANN401
    """
    Return a decorator that adds the option for a setting: `--page-size`, the last name, sets `page_size`.

    An invalid value is a usage error. The value stays text: `Settings.load` merges it with the environment.
    """
    setting = names[-1].removeprefix("--").replace("-", "_")
    spec = _SPECS[setting]

    def check(text: str) -> str:
        spec.parse(text)
        return text

    kind = Parsed(spec.metavar.lower(), check, spec.choices)
    facts = "; ".join(_facts(spec, _DEFAULTS[setting]))
    return click.option(*names, help=f"{help}  [{facts}]", type=kind, **more)


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


_DATABASE = ("-d", "--database-url")
_DATABASE_HELP = "URL of the SQLite or Postgres database."
_SOURCE_OPTIONS = {
    "--date-filter": "How the API's date_created filter compares dates; auto detects it.",
    "--audit-every": "Minimum interval between complete scans that look for deleted tasks.",
    "--max-results": "Maximum number of results to fetch per sync.",
    "--lookback": "How far before the watermark to start re-reading tasks.",
    "--retry-for": "Maximum time to retry one request.",
    "--max-rate": "Maximum number of requests per second.",
    "--concurrency": "Maximum number of concurrent requests.",
    "--page-size": "Number of tasks per list request.",
}


def source_options(function: F) -> F:
    """Add an option for each setting of a sync, for `load_settings`."""
    for name, text in _SOURCE_OPTIONS.items():
        function = setting_option(name, help=text)(function)
    return setting_option(*_DATABASE, help=_DATABASE_HELP)(function)


def database_option(function: F) -> F:
    """Add `-d/--database-url` to a command that needs no other setting, and gets the URL itself."""
    return setting_option(
        *_DATABASE,
        help=_DATABASE_HELP,
        callback=lambda _context, _parameter, text: load_settings(database_url=text).database_url,
    )(function)


def load_settings(**options: str | None) -> Settings:
    """Return the options merged with the environment. Raises ConfigurationError for invalid values."""
    settings = Settings.load(None, **options)
    if re.match(r"sqlite(\+pysqlite)?:///(?!/)", settings.database_url):
        try:
            Path.cwd()
        except FileNotFoundError:
            raise ConfigurationError(
                "the current folder no longer exists: change to another folder, "
                "or write the database's absolute path (-d sqlite:////path/to/file.db)"
            ) from None
    return settings
