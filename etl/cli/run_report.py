"""What `sync`, `watch` and `demo` print about one run: its progress, and its summary."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import sys
from typing import TYPE_CHECKING

from etl.cli.console import message_of, print_report
from etl.durations import format_duration
from etl.enums import RunMode, RunStatus
from etl.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.sync.summary import Observer, RunSummary
    from etl.sync.summary import Progress as SyncProgress

logger = logging.getLogger(__name__)

_KINDS = {
    RunMode.FULL: "Full sync",
    RunMode.INCREMENTAL: "Incremental sync",
    RunMode.SINCE: "Sync with --since",
    RunMode.PARTIAL: "Partial sync",
}
_COUNTERS = ("inserted", "updated", "unchanged", "removed", "rejected")


@contextlib.contextmanager
def reported(summary: RunSummary, *, as_json: bool) -> Iterator[Observer]:
    """
    Show the progress of the run in this block, then print its summary; after a failure only as JSON.

    A warning on stderr counts the rejected records, however the run ended.
    """
    began_at = dt.datetime.now(dt.UTC)
    try:
        with progress_bar() as observe:
            yield observe
    except Exception as error:  # raised again below
        summary.error = message_of(error)
        summary.started_at = summary.started_at or began_at
        if summary.status == RunStatus.RUNNING:
            summary.status = RunStatus.FAILED
        if as_json:
            print_report(summary)
        raise
    else:
        (print_report if as_json else print_summary)(summary)
    finally:
        if summary.rejected:
            when = "after a sync, run" if summary.dry_run else "run"
            logger.warning("%s: %s gcore-etl rejected list to see why", count_rejected(summary), when)


@contextlib.contextmanager
def progress_bar() -> Iterator[Observer]:
    """Yield an observer that shows pages, tasks, their rate and the time left, if stderr is a terminal."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda _summary, _progress: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[pages]:,} pages"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[what]}, {task.fields[rate]:,.0f}/s{task.fields[time_left]}"),
    )
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    bars: dict[str, TaskID] = {}

    def observe(summary: RunSummary, update: SyncProgress) -> None:
        what, done, total = update
        if what not in bars:
            bars[what] = progress.add_task("", total=None, what=what, pages=0, rate=0.0, time_left="")
        seconds_left = progress.tasks[bars[what]].time_remaining
        progress.update(
            bars[what],
            completed=done,
            total=max(total, done) if total is not None else None,
            pages=summary.pages,
            rate=progress.tasks[bars[what]].speed or 0.0,
            time_left="" if seconds_left is None else f", {format_duration(seconds_left)} left",
        )

    # The terminal may close at any time, which must not fail the sync.
    with contextlib.suppress(OSError):
        progress.start()
    try:
        yield observe
    finally:
        with contextlib.suppress(OSError):
            progress.stop()


def print_summary(summary: RunSummary) -> None:
    """Print a run that succeeded, for people."""
    print_report("\n  ".join(_lines(summary)))


def count_rejected(summary: RunSummary) -> str:
    """Return how many records were rejected, as the start of a sentence."""
    verb = "would be" if summary.dry_run else "was" if summary.rejected == 1 else "were"
    return f"{counted(summary.rejected, 'record')} {verb} rejected"


def _lines(summary: RunSummary) -> Iterator[str]:
    kind = _KINDS[summary.mode]
    title, note = (f"Dry run ({kind.lower()})", "; nothing was written") if summary.dry_run else (kind, "")
    run = "" if summary.run_id is None else f" (run {summary.run_id})"
    yield (
        f"{title} finished in {format_duration(summary.duration_seconds)}: "
        f"{counted(summary.tasks_seen, 'task')}, {counted(summary.requests, 'request')}{run}{note}"
    )
    yield " · ".join(f"{name} {getattr(summary, name):,}" for name in _COUNTERS)
    if summary.results_waiting is not None:
        yield f"results: {summary.results_archived:,} archived, {_pending(summary)}"
    if summary.unreadable_times:
        yield (
            f"subtitles: {summary.unreadable_times:,} have no valid start or end time "
            "and were stored without it"
        )
    if facts := " · ".join(_facts(summary)):
        yield facts


def _facts(summary: RunSummary) -> Iterator[str]:
    from etl.sync.summary import AUDIT_AGREES

    if summary.watermark is not None:
        yield f"watermark {summary.watermark:%Y-%m-%d %H:%M:%S} UTC"
    if summary.date_filter is not None:
        yield f"date filter {summary.date_filter}"
    if summary.audit is not None:
        yield "count audit ok" if summary.audit == AUDIT_AGREES else f"count audit: {summary.audit}"


def _pending(summary: RunSummary) -> str:
    pending = f"{summary.results_waiting:,} pending"
    if summary.results_syncs_left:
        syncs = counted(summary.results_syncs_left, "more sync")
        if summary.results_seconds_left is not None:
            syncs += f", about {format_duration(max(1, round(summary.results_seconds_left)))}"
        return f"{pending} ({syncs})"
    # Every result was requested, and the API does not have these yet.
    return f"{pending} (not available yet)" if summary.results_waiting else pending
