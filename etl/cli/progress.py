"""A progress bar on a terminal, and nothing anywhere else."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.sync.summary import Observer, RunSummary
    from etl.sync.summary import Progress as HowFar


@contextlib.contextmanager
def progress_bar() -> Iterator[Observer]:
    """Show pages, tasks, rate and the time left while the block lasts."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda _summary, _how_far: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[pages]} pages"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[what]}, {task.fields[rate]:,.0f}/s"),
        TimeLeft(),
    )
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    bars: dict[str, TaskID] = {}

    def observe(summary: RunSummary, how_far: HowFar) -> None:
        what, done, total = how_far
        if what not in bars:
            bars[what] = progress.add_task("", total=None, what=what, pages=0, rate=0.0)
        progress.update(
            bars[what],
            completed=done,
            total=max(total, done) if total is not None else None,
            pages=summary.pages,
            rate=progress.tasks[bars[what]].speed or 0.0,
        )

    # A terminal may go away; what it showed is no part of the sync.
    with contextlib.suppress(OSError):
        progress.start()
    try:
        yield observe
    finally:
        with contextlib.suppress(OSError):
            progress.stop()
