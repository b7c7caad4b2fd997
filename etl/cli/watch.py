"""`gcore-etl watch`: syncs on a schedule until it is stopped."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import click

from etl.cli.console import print_exception, stamp_lines
from etl.cli.options import json_option, load_settings, source_options
from etl.cli.params import DURATION
from etl.cli.run_report import reported
from etl.cli.signals import stop_on_signals
from etl.cli.sync import KEPT, results_option
from etl.errors import ConfigurationError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from etl.stop import Stop

# In seconds. After the machine was suspended, the schedule notices it within this time.
_MAX_NAP = 30.0


@click.command()
@click.option("--every", type=DURATION, default="5m", help="Interval between the starts of two syncs.")
@source_options
@results_option
@json_option("one JSON object per run, one per line")
def watch(*, every: dt.timedelta, as_json: bool, with_results: bool, **options: str | None) -> None:
    """
    Sync on a schedule until stopped (Ctrl-C or SIGTERM).

    A sync that fails is reported, and the next one starts on schedule. The command itself fails (exit code 3)
    only if its first sync does, because of the configuration or credentials.
    """
    with stop_on_signals(KEPT) as stop:
        schedule = Schedule(every, sleep=stop.wait)
        is_first = True
        while True:
            try:
                _sync_once(options, every, stop, as_json=as_json, with_results=with_results)
            except Exception as error:
                # Whatever happened, the schedule goes on.
                stop.check()
                if is_first and isinstance(error, ConfigurationError):
                    raise
                # If memory is short, even this may fail.
                with contextlib.suppress(Exception):
                    print_exception(error)
            is_first = False
            schedule.wait()


def _sync_once(
    options: dict[str, str | None], every: dt.timedelta, stop: Stop, *, as_json: bool, with_results: bool
) -> None:
    from etl.sync.api import run_sync
    from etl.sync.options import SyncOptions
    from etl.sync.summary import RunSummary

    summary = RunSummary()
    sync_options = SyncOptions(with_results=with_results, next_run_in=every)
    with reported(summary, as_json=as_json) as observe:
        settings = load_settings(**options)
        stamp_lines()
        run_sync(settings, sync_options, observe=observe, summary=summary, stop=stop)


def seconds_since_boot() -> float:
    """Return a monotonic clock, which includes the time the machine was suspended where the system allows."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Schedule:
    """
    Turns at a fixed interval, measured from start to start.

    A turn that is late, because the previous one took long or the machine was suspended, starts immediately,
    and the interval is measured from it. Missed turns are not made up.
    """

    def __init__(
        self,
        every: dt.timedelta,
        *,
        clock: Callable[[], float] = seconds_since_boot,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._every = every.total_seconds()
        self._clock, self._sleep = clock, sleep
        self._due = clock()

    def wait(self) -> None:
        """Block until the next turn is due."""
        self._due = max(self._due + self._every, self._clock())
        while (left := self._due - self._clock()) > 0:
            self._sleep(min(left, _MAX_NAP))
        # After waking a little late, the schedule is kept; after a suspension, it restarts from now.
        if left < -_MAX_NAP:
            self._due -= left
