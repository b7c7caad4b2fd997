"""A progress bar on a terminal, and nothing anywhere else."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from etl.sync.summary import RunSummary


@contextlib.contextmanager
def progress_bar() -> Iterator[Callable[[RunSummary, int | None], None]]:
    """Show pages, tasks, rate and the time left while the block lasts."""
    if not sys.stderr.isatty():
        yield lambda _summary, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[pages]} pages"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("tasks, {task.fields[rate]:,.0f}/s"),
        TimeLeft(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=None, pages=0, rate=0.0)

        def observe(summary: RunSummary, total: int | None) -> None:
            seen = summary.tasks_seen
            progress.update(
                bar,
                completed=seen,
                total=max(total, seen) if total is not None else None,
                pages=summary.pages,
                rate=seen / summary.duration_seconds if summary.duration_seconds else 0.0,
            )

        yield observe
