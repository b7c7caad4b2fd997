"""
One page that says how a span of days went: a file of HTML that needs nothing else, and no network.

    from pathlib import Path
    from etl.report import report

    Path("june.html").write_text(report("sqlite:///gcore_tasks.db", since="2026-06-01", until="2026-07-01"))

`collect` gives the figures on it as numbers and pandas frames.
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
    Give the page, as HTML.

    `source`, `since` and `until` are what they are in `etl.frames`, but whole days in UTC: every day that
    the range touches. Without `until` the last day is today, without `since` there are 30 days.

    Raises what `etl.frames.tasks` raises.
    """
    return render(collect(source, since=since, until=until))
