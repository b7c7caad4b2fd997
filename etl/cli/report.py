"""`gcore-etl report`: a self-contained HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from etl.cli.console import print_note
from etl.cli.extras import import_extra
from etl.cli.options import database_option
from etl.cli.params import DATE, STDOUT, Output
from etl.cli.signals import interruptible
from etl.errors import ConfigurationError
from etl.files import NO_TEMPORARY_FOLDER, find_temporary_folder

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType


@click.command()
@click.option(
    "-o", "--output", type=Output(dir_okay=False), required=True, help="File to write; - for standard output."
)
@click.option("--since", type=DATE, help="First day, in UTC.  [default: 30 days before --until]")
@click.option("--until", type=DATE, help="First day after the period, in UTC.  [default: tomorrow]")
@database_option
def report(*, output: Path, database_url: str, **period: Any) -> None:  # noqa: ANN401
    """
    Write an HTML report about a period, by default the last 30 days: figures, plots, failures, stalls.

    The report is one self-contained file. It can be opened in any browser, printed and sent to others.
    """
    from etl.database import file_of

    reporting = import_report(output, file_of(database_url))
    with interruptible():
        try:
            write(output, reporting.report(database_url, **period))
        except ValueError as error:
            raise click.UsageError(str(error)) from error


def import_report(*files: Path | None) -> ModuleType:
    """
    Return the module that builds reports. Raises MissingExtra if its extra is not installed.

    matplotlib needs a writable cache folder. If the system has no temporary folder, that of one of `files` is
    used.
    """
    has_folder = find_temporary_folder(
        *(file.absolute().parent for file in files if file not in {None, STDOUT})
    )
    try:
        return import_extra("etl.report", feature="the report", extra="report")
    except OSError as error:
        if has_folder:
            raise
        raise ConfigurationError(NO_TEMPORARY_FOLDER) from error


def write(output: Path, page: str) -> None:
    """Write a page. Raises ExportError if the file is not writable."""
    from etl.export.targets import open_output

    content = page.encode()
    with open_output(None if output == STDOUT else output) as file:
        file.write(content)
    if output != STDOUT:
        print_note(f"report written to {output} ({len(content) / 1000:,.0f} kB)")
