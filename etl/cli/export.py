"""`gcore-etl export`: write a table or view to a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from etl.cli.console import print_note
from etl.cli.options import database_option
from etl.cli.params import DATE, STDOUT, TASK_NAME, TEXT, Output
from etl.cli.signals import interruptible
from etl.views import NAMES

if TYPE_CHECKING:
    from pathlib import Path

TABLES = ("tasks", "task_history", "task_results", "subtitles", "detections", "sync_runs")
FORMATS = ("parquet", "csv", "ndjson", "vtt", "srt")
SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", ",": ",", ";": ";"}


@click.command()
@click.argument("table", type=click.Choice([*TABLES, *NAMES]), metavar="TABLE")
@click.option(
    "-o", "--output", type=Output(), help="File or folder to write; - for standard output.  [default: -]"
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    help="Output format.  [default: the suffix of the file, else ndjson]",
)
@click.option("--since", type=DATE, help="Only rows from this date or timestamp onwards.")
@click.option("--until", type=DATE, help="Only rows before this date or timestamp.")
@click.option("--task-name", type=TASK_NAME, help="Only rows of this task type.")
@click.option("--status", type=TEXT, help="Only rows of tasks with this status, such as SUCCESS.")
@click.option(
    "--partition-by",
    type=click.Choice(["day", "month"]),
    help="Write a folder with a file for each day or month.",
)
@click.option("--excel", "is_excel", is_flag=True, help="Write CSV for Excel instead of exact CSV.")
@click.option(
    "--separator",
    type=click.Choice(list(SEPARATORS)),
    metavar="[comma|semicolon|tab]",
    help="With --excel: semicolon for regions with a decimal comma.  [default: comma]",
)
@click.option("--raw", is_flag=True, hidden=True, expose_value=False, help="No effect: CSV is exact.")
@click.option("--force", is_flag=True, help="Replace a folder that already contains an export.")
@database_option
def export(  # noqa: PLR0913
    *,
    table: str,
    output: Path | None,
    kind: str | None,
    partition_by: str | None,
    is_excel: bool,
    separator: str | None,
    force: bool,
    database_url: str,
    **filters: Any,  # noqa: ANN401
) -> None:
    """
    Export a table or view as Parquet, CSV or NDJSON.

    TABLE is tasks, task_history, task_results, subtitles, detections, sync_runs or a view; gcore-etl schema
    describes them. --since and --until filter by the time of the row, or of its task. Subtitles can also be
    exported as vtt or srt, with one file per task.

    CSV contains exactly the stored values and is meant for programs. Do not open it in a spreadsheet: text
    that starts like a formula would be executed. For Excel, use --excel: text is displayed unchanged,
    timestamps (UTC) are dates, ids stay text, and nothing is executed. Cells that exceed Excel's limit
    are truncated, with a warning.
    """
    from etl import export as exporting

    output = None if output == STDOUT else output
    if separator is not None and not is_excel:
        raise click.UsageError("--separator needs --excel")
    with interruptible():
        if kind in exporting.SUBTITLE_FORMATS:
            if is_excel:
                raise click.UsageError(f"--excel writes CSV, not {kind}: omit one of them")
            if table != "subtitles" or output is None or partition_by is not None:
                raise click.UsageError(
                    f"--format {kind} exports subtitles to a folder: use export subtitles -o DIR"
                )
            number = exporting.export_subtitles(output, kind, source=database_url, **filters)
        else:
            number = exporting.export(
                table,
                output,
                source=database_url,
                format=kind,
                partition_by=partition_by,
                excel_separator=SEPARATORS[separator or "comma"] if is_excel else None,
                may_replace=force,
                **filters,
            )
    if output is not None:
        what = "files" if kind in exporting.SUBTITLE_FORMATS else "rows"
        print_note(f"{number:,} {what} written to {output}")
