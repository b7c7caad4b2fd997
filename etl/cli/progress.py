"""A progress bar on stderr, if that is a terminal."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from etl.durations import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.sync.summary import Observer, RunSummary
    from etl.sync.summary import Progress as SyncProgress


@contextlib.contextmanager
def progress_bar() -> Iterator[Observer]:
    """Yield an observer that shows pages, tasks, their rate and the time left."""
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
