"""`gcore-etl export`: a table or view as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from etl.cli.console import note
from etl.cli.params import STDOUT, Date, Output, Text
from etl.cli.settings import database_option, load_settings
from etl.cli.signals import interruptible
from etl.views import NAMES

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

TABLES = ("tasks", "task_history", "task_results", "subtitles", "detections", "sync_runs")
FORMATS = ("parquet", "csv", "ndjson", "vtt", "srt")
SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", ",": ",", ";": ";"}


@click.command()
@click.argument("table", type=click.Choice([*TABLES, *NAMES]), metavar="TABLE")
@click.option(
    "-o",
    "--output",
    type=Output(may_be_folder=True),
    help="The file, or folder, to write; - or nothing: standard output.",
)
@click.option("--format", "kind", type=click.Choice(FORMATS), help="If the file's name does not say it.")
@click.option("--since", type=Date(), help="Only rows since this day or instant.")
@click.option("--until", type=Date(), help="Only rows before this day or instant.")
@click.option("--task-name", type=Text(), help="Only this type: transcription, content-moderation.")
@click.option("--status", type=Text(), help="Only this status, such as SUCCESS.")
@click.option("--partition-by", type=click.Choice(["day", "month"]), help="A folder with a file for each.")
@click.option("--excel", "is_excel", is_flag=True, help="Write CSV for Excel instead of exact CSV.")
@click.option(
    "--separator",
    type=click.Choice(list(SEPARATORS)),
    metavar="[comma|semicolon|tab]",
    help="With --excel: semicolon where numbers are written 1,5.  [default: comma]",
)
@click.option("--raw", is_flag=True, hidden=True, expose_value=False, help="No effect: CSV is exact.")
@click.option("--force", is_flag=True, help="Replace a folder that holds an export.")
@database_option
def export(  # noqa: PLR0913
    *,
    table: str,
    output: Path | None,
    kind: str | None,
    since: dt.datetime | None,
    until: dt.datetime | None,
    task_name: str | None,
    status: str | None,
    partition_by: str | None,
    is_excel: bool,
    separator: str | None,
    force: bool,
    database_url: str | None,
) -> None:
    """
    Write a table or view as Parquet, CSV or NDJSON; subtitles also as vtt or srt, a file for each task.

    Without -o, NDJSON goes to the standard output. TABLE is tasks, task_history, task_results, subtitles,
    detections, sync_runs or a view. What --since and --until compare is the time of the row, or of its task.

    CSV holds exactly what is stored, for programs to read. Do not open it in a spreadsheet, which would run
    text that begins like a formula. CSV made with --excel is for that: Excel shows every letter, reads times
    (in UTC), keeps ids as they are and runs nothing. What is too long for its cells is cut, and counted.
    """
    from etl import export as exporting

    output = None if output == STDOUT else output
    common = {"since": since, "until": until, "task_name": task_name, "status": status}
    source = load_settings(database_url=database_url).database_url
    if separator is not None and not is_excel:
        raise click.UsageError("--separator goes with --excel")
    with interruptible():
        if kind in exporting.SUBTITLE_FORMATS:
            if is_excel:
                raise click.UsageError(f"--excel is for CSV, not for {kind}")
            if table != "subtitles" or output is None or partition_by is not None:
                raise click.UsageError(f"--format {kind} is for subtitles, into a folder: -o DIR")
            number = exporting.export_subtitles(output, kind, source=source, **common)  # type: ignore[arg-type]
        else:
            number = exporting.export(
                table,
                output,
                source=source,
                format=kind,
                partition_by=partition_by,
                excel_separator=SEPARATORS[separator or "comma"] if is_excel else None,
                may_replace=force,
                **common,  # type: ignore[arg-type]
            )
    if output is not None:
        what = "files" if kind in exporting.SUBTITLE_FORMATS else "rows"
        note(f"{number:,} {what} written to {output}")
