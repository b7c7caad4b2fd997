"""`gcore-etl watch`: syncs on a schedule until it is stopped."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING, Any

import click

from etl.cli.console import complain
from etl.cli.progress import progress_bar
from etl.cli.settings import load_settings
from etl.cli.signals import interruptible
from etl.cli.sync import KEPT, reported, results_option, source_options
from etl.errors import ConfigurationError, EtlError, Interrupted
from etl.settings import parse_duration

if TYPE_CHECKING:
    from etl.settings import Settings
    from etl.sync.options import SyncOptions


class Duration(click.ParamType[dt.timedelta]):
    """A span such as 90s, 5m, 1h or 2d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.timedelta:  # noqa: ANN401
        """Read it, or say how it is written."""
        if isinstance(value, dt.timedelta):
            return value
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.option("--every", type=Duration(), default="5m", show_default=True, help="From one start to the next.")
@source_options
@results_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a run, each on a line.")
def watch(*, every: dt.timedelta, as_json: bool, with_results: bool, **options: str | None) -> None:
    """
    Sync on a schedule until stopped (Ctrl-C or SIGTERM).

    A sync that fails is reported and tried again at the next turn; one that could never succeed, because of a
    setting or the key, ends the watch if it is the first.
    """
    from etl.sync.options import SyncOptions

    settings = load_settings(**options)
    settings.require_api_key()
    with interruptible(KEPT):
        is_first = True
        while True:
            start = time.monotonic()
            orders = SyncOptions(with_results=with_results, next_run_in=every)
            _sync_once(settings, orders, as_json=as_json, is_first=is_first)
            is_first = False
            time.sleep(max(0.0, start + every.total_seconds() - time.monotonic()))


def _sync_once(settings: Settings, orders: SyncOptions, *, as_json: bool, is_first: bool) -> None:
    from etl.sync.session import run_sync
    from etl.sync.summary import RunSummary

    summary = RunSummary()
    try:
        with reported(summary, as_json=as_json), progress_bar() as observe:
            run_sync(settings, orders, observe=observe, summary=summary)
    except EtlError as error:
        if isinstance(error, Interrupted) or (is_first and isinstance(error, ConfigurationError)):
            raise
        complain(str(error))
