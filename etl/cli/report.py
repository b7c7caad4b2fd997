"""`gcore-etl report`: one page to send to a colleague."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import click

from etl.cli.console import note
from etl.cli.output import STDOUT, Output
from etl.cli.settings import database_option, load_settings
from etl.cli.signals import interruptible
from etl.cli.sync import Date
from etl.errors import ConfigurationError
from etl.files import NO_TEMPORARY_FOLDER, find_temporary_folder

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType


@click.command()
@click.option(
    "-o",
    "--output",
    type=Output(),
    required=True,
    help="The file to write; - is the standard output.",
)
@click.option("--since", type=Date(), help="The first day, in UTC; by default the first of 30.")
@click.option("--until", type=Date(), help="The day after the last, in UTC; by default tomorrow.")
@database_option
def report(
    *, output: Path, since: dt.datetime | None, until: dt.datetime | None, database_url: str | None
) -> None:
    """
    Write a page that says how the last 30 days went, or others: figures, plots, what to look at.

    It is one file of HTML that needs no network, to open in a browser, print or send on.
    """
    from etl.database import file_of

    url = load_settings(database_url=database_url).database_url
    reporting = import_report(output, file_of(url))
    with interruptible():
        try:
            write(output, lambda: reporting.report(url, since=since, until=until))
        except ValueError as error:
            raise click.UsageError(str(error)) from error


def import_report(*files: Path | None) -> ModuleType:
    """
    Import what makes the page, or say which extra brings what it needs.

    What draws the plots needs a folder for what it remembers; that may be beside one of these files.
    """
    has_folder = find_temporary_folder(
        *(file.absolute().parent for file in files if file not in {None, STDOUT})
    )
    try:
        return importlib.import_module("etl.report")
    except OSError as error:
        if has_folder:
            raise
        raise ConfigurationError(NO_TEMPORARY_FOLDER) from error
    except ModuleNotFoundError as error:
        if error.name not in {"jinja2", "markupsafe", "matplotlib"}:
            raise
        raise click.UsageError(
            f"reports need {error.name}: pip install 'gcore-ai-tasks-etl[report]'"
        ) from None


def write(output: Path, make: Callable[[], str]) -> None:
    """Write the page that is made, or nothing under that name; where that cannot be, it is not even made."""
    from etl.export.targets import open_output

    with open_output(None if output == STDOUT else output) as file:
        page = make().encode()
        file.write(page)
    if output != STDOUT:
        note(f"{output}: {len(page) / 1000:,.0f} kB")
