"""
A report about a range of days, as one self-contained HTML file.

    from pathlib import Path
    from etl.report import report

    Path("june.html").write_text(report("sqlite:///gcore_tasks.db", since="2026-06-01", until="2026-07-01"))

`collect` returns the figures as numbers and pandas DataFrames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from etl.report.figures import Figures, collect
from etl.report.page import render

if TYPE_CHECKING:
    from etl.frames.chunks import Source
    from etl.frames.times import Instant

__all__ = ["Figures", "collect", "render", "report"]


def report(source: Source = None, *, since: Instant = None, until: Instant = None) -> str:
    """
    Return the report as HTML.

    `source`, `since` and `until` are as in `etl.frames`, but the range is extended to whole days in UTC. By
    default `until` is the end of today, and `since` is 30 days earlier.

    Raises the same errors as `etl.frames.tasks`.
    """
    return render(collect(source, since=since, until=until))
