"""`gcore-etl sync`: one run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

import click

from etl.cli.exit_codes import EPILOG
from etl.cli.params import Date, Duration, FilterValue, TaskNameFilter
from etl.cli.progress import progress_bar
from etl.cli.run_report import count_rejected, reported
from etl.cli.settings import database_option, load_settings, setting_option
from etl.cli.signals import stop_on_signals
from etl.errors import RecordsRejected
from etl.settings import Settings

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

KEPT = "loaded records are kept, and the next sync continues from there"


def source_options(function: F) -> F:
    """Add the options of the settings about the API and about what an incremental run reads again."""
    for option in reversed(
        (
            setting_option("--page-size", name="page_size", help="Number of tasks per request."),
            setting_option(
                "--concurrency", name="concurrency", help="Maximum number of concurrent requests."
            ),
            setting_option("--max-rate", name="max_rate", help="Maximum number of requests per second."),
            setting_option("--retry-for", name="retry_for", help="Maximum time to retry one request."),
            setting_option(
                "--lookback", name="lookback", help="How far before the watermark to read tasks again."
            ),
            setting_option(
                "--max-results", name="max_results", help="Maximum number of results to fetch per run."
            ),
            setting_option(
                "--audit-every", name="audit_every", help="Minimum interval between full re-reads."
            ),
            setting_option(
                "--date-filter",
                name="date_filter",
                help="Semantics of the API's date_created filter; auto detects them.",
            ),
        )
    ):
        function = option(function)
    return database_option(function)


results_option = click.option(
    "--results/--no-results",
    "with_results",
    default=True,
    show_default=True,
    help="Archive results before the API deletes them.",
)


@click.command(epilog=EPILOG)
@click.option("--full", "is_full", is_flag=True, help="Read all tasks, and mark deleted ones as removed.")
@click.option("--since", type=Date(), help="Re-read tasks created since this date or timestamp.")
@click.option("--task-name", type=TaskNameFilter(), help="Only tasks of this type.")
@click.option("--status", type=FilterValue(), help="Only tasks with this status, such as FAILURE.")
@click.option(
    "--search", type=FilterValue(), help="Only tasks with this text in their id, type, status or data."
)
@click.option("--task-id", type=FilterValue(), help="Only the task with this id.")
@source_options
@results_option
@click.option("--strict", is_flag=True, help="Exit with 5 if a record was rejected.")
@click.option("--allow-mass-removal", is_flag=True, help="Allow marking most tasks as removed.")
@click.option(
    "--allow-account-change", is_flag=True, help="Permanently switch this copy to the account of the API key."
)
@click.option("--dry-run", "dry_run", is_flag=True, help="Read and compare, but write nothing.")
@click.option("--wait", is_flag=True, help="Wait for a running sync to finish.")
@click.option("--timeout", type=Duration(), help="Maximum duration; then the run stops, with exit code 1.")
@click.option("--no-migrate", is_flag=True, help="Fail if the schema is outdated, instead of upgrading it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
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
    orders = SyncOptions(**options)
    if orders.is_full and (orders.since or orders.filters):
        raise click.UsageError("--full reads everything: it cannot be combined with --since or a filter")
    summary = RunSummary()
    with (
        stop_on_signals(KEPT) as stop,
        reported(summary, as_json=as_json),
        progress_bar() as observe,
    ):
        settings = load_settings(**given)
        run_sync(
            settings,
            orders,
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
