"""`gcore-etl watch`: syncs on a schedule until it is stopped."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from etl.cli.console import explain, stamp_lines
from etl.cli.params import Duration
from etl.cli.progress import progress_bar
from etl.cli.run_report import reported
from etl.cli.schedule import Schedule
from etl.cli.settings import load_settings
from etl.cli.signals import stop_on_signals
from etl.cli.sync import KEPT, results_option, source_options
from etl.errors import ConfigurationError

if TYPE_CHECKING:
    import datetime as dt

    from etl.stop import Stop


@click.command()
@click.option(
    "--every",
    type=Duration(),
    default="5m",
    show_default=True,
    help="Interval between the starts of two syncs.",
)
@source_options
@results_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per run, one per line.")
def watch(*, every: dt.timedelta, as_json: bool, with_results: bool, **options: str | None) -> None:
    """
    Sync on a schedule until stopped (Ctrl-C or SIGTERM).

    A sync that fails is reported, and the next one starts on schedule. Only a first sync that fails because
    of the configuration or credentials ends the command, with exit code 3.
    """
    with stop_on_signals(KEPT) as stop:
        schedule = Schedule(every, sleep=stop.wait)
        is_first = True
        while True:
            try:
                _sync_once(options, every, stop, as_json=as_json, with_results=with_results)
            except Exception as error:
                stop.check()
                if is_first and isinstance(error, ConfigurationError):
                    raise
                # If memory is short, even this may fail.
                with contextlib.suppress(Exception):
                    explain(error)
            is_first = False
            schedule.wait()


def _sync_once(
    options: dict[str, str | None], every: dt.timedelta, stop: Stop, *, as_json: bool, with_results: bool
) -> None:
    from etl.sync.api import run_sync
    from etl.sync.options import SyncOptions
    from etl.sync.summary import RunSummary

    summary = RunSummary()
    orders = SyncOptions(with_results=with_results, next_run_in=every)
    with reported(summary, as_json=as_json), progress_bar() as observe:
        settings = load_settings(**options)
        stamp_lines()
        run_sync(settings, orders, observe=observe, summary=summary, stop=stop)
