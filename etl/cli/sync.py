"""`gcore-etl sync`: one run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from etl.cli.options import EPILOG, json_option, load_settings, source_options, wait_option
from etl.cli.params import DATE, DURATION, FILTER, TASK_NAME_FILTER
from etl.cli.run_report import count_rejected, reported
from etl.cli.signals import stop_on_signals
from etl.errors import RecordsRejected
from etl.settings import Settings

if TYPE_CHECKING:
    import datetime as dt

KEPT = "loaded records are kept, and the next sync continues from there"

results_option = click.option(
    "--results/--no-results",
    "with_results",
    default=True,
    help="Archive results before they expire.",
)


@click.command(epilog=EPILOG)
@click.option("--full", "is_full", is_flag=True, help="Read all tasks, and mark deleted ones as removed.")
@click.option("--since", type=DATE, help="Re-read tasks created since this date or timestamp.")
@click.option("--task-name", type=TASK_NAME_FILTER, help="Only tasks of this type.")
@click.option("--status", type=FILTER, help="Only tasks with this status, such as FAILURE.")
@click.option("--search", type=FILTER, help="Only tasks with this text in their id, type, status or data.")
@click.option("--task-id", type=FILTER, help="Only the task with this id.")
@source_options
@results_option
@click.option("--strict", is_flag=True, help="Exit with code 5 if a record was rejected.")
@click.option(
    "--allow-mass-removal",
    is_flag=True,
    help="Allow marking all tasks as removed, or more than 50 and more than a tenth of them.",
)
@click.option(
    "--allow-account-change", is_flag=True, help="Permanently switch this copy to the account of the API key."
)
@click.option("--dry-run", "dry_run", is_flag=True, help="Read and compare, but write nothing.")
@wait_option
@click.option("--timeout", type=DURATION, help="Maximum duration; then the sync stops with exit code 1.")
@click.option("--no-migrate", is_flag=True, help="Fail if the schema is outdated, instead of upgrading it.")
@json_option("one JSON object")
def sync(
    *,
    strict: bool,
    wait: bool,
    timeout: dt.timedelta | None,
    no_migrate: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401
) -> None:
    """
    Sync the database with the API once.

    The first sync reads all tasks. Later ones read new tasks and all tasks that are still in flight.
    """
    from etl.sync.api import run_sync
    from etl.sync.options import SyncOptions
    from etl.sync.summary import RunSummary

    deadline = None if timeout is None else time.monotonic() + timeout.total_seconds()
    given = {name: options.pop(name) for name in Settings.__dataclass_fields__ if name in options}
    sync_options = SyncOptions(**options)
    if sync_options.is_full and (sync_options.since or sync_options.filters):
        raise click.UsageError("--full reads all tasks: it cannot be combined with --since or a filter")
    summary = RunSummary()
    with stop_on_signals(KEPT) as stop, reported(summary, as_json=as_json) as observe:
        run_sync(
            load_settings(**given),
            sync_options,
            wait=wait,
            migrate=not no_migrate,
            observe=observe,
            summary=summary,
            stop=stop,
            deadline=deadline,
        )
    if strict and summary.rejected:
        raise RecordsRejected(
            f"{count_rejected(summary)}, and --strict is set; all other records were loaded"
        )
