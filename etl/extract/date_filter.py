"""
What the server means by `date_created`: probed with a few one-row requests, never guessed.

The documentation says "time when task was created, ISO 8601" and no more. A date before all tasks and one
after all of them distinguish *at or after* (`gte`), *at or before* (`lte`) and *ignored*; if both return
nothing, a day on which a task must have been created distinguishes *on that day* (`day`) from *exactly then*
(`exact`). A filter that the server refuses is *rejected*.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from etl.enums import DateFilter
from etl.errors import RequestRefused
from etl.extract.page_source import shows_any

if TYPE_CHECKING:
    from etl.extract.page_source import PageSource
    from etl.extract.payload import Page

LONG_AGO = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
# Fixed, so that a broken clock here cannot mislead the probe.
FAR_AHEAD = dt.datetime(2200, 1, 1, tzinfo=dt.UTC)
_A_DAY = dt.timedelta(days=1)


def date_text(instant: dt.datetime) -> str:
    """Return an instant, truncated to the second, in a format that every server can parse."""
    return instant.astimezone(dt.UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")


def noon_of(day: dt.datetime) -> dt.datetime:
    """Return noon of a UTC day: successive noons are on successive days in every time zone."""
    return day.astimezone(dt.UTC).replace(hour=12, minute=0, second=0, microsecond=0)


def since(moment: dt.datetime) -> dict[str, str]:
    """Return the filter that, with the semantics `gte`, selects tasks created at `moment` or later."""
    return {"date_created": date_text(moment)}


def probe_date_filter(source: PageSource, first_page: Page) -> DateFilter:
    """
    Return the semantics, as defined above, or `unknown` while there are no tasks.

    `first_page` is that of the unfiltered list.
    """
    if not first_page.records:
        # Even if the count is not 0: it may be wrong.
        return DateFilter.UNKNOWN
    try:
        after_past = _finds(source, LONG_AGO)
        after_future = _finds(source, FAR_AHEAD)
        if after_past and after_future:
            return DateFilter.IGNORED
        if after_past or after_future:
            return DateFilter.GTE if after_past else DateFilter.LTE
        if any(_finds(source, noon) for noon in _days_with_tasks(source, first_page)):
            return DateFilter.DAY
    except RequestRefused:
        return DateFilter.REJECTED
    # If the tasks have been deleted since then, no date finds anything, whatever the semantics.
    return DateFilter.EXACT if shows_any(source, {}) else DateFilter.UNKNOWN


def still_holds(source: PageSource, first_page: Page, semantics: str | None) -> bool:
    """
    Return whether the filter still includes the tasks that a sync with these semantics relies on.

    Only `gte` and `day` are relied on; a filter that includes more costs requests, but loses no task.
    `first_page` is that of the unfiltered list.
    """
    if semantics not in {DateFilter.GTE, DateFilter.DAY} or not first_page.records:
        return True
    try:
        if semantics == DateFilter.GTE:
            return _finds(source, LONG_AGO)
        return any(_finds(source, noon) for noon in _days_with_tasks(source, first_page))
    except RequestRefused:
        return False


def shows_since(source: PageSource, moment: dt.datetime) -> bool:
    """Return whether a filter with the semantics `gte` includes tasks created at `moment` or later."""
    try:
        return _finds(source, moment)
    except RequestRefused:
        return True


def _days_with_tasks(source: PageSource, first_page: Page) -> list[dt.datetime]:
    return _likely_days(first_page) or _likely_days(source.fetch_page({"status": "SUCCESS"}, page=1, limit=1))


def _finds(source: PageSource, instant: dt.datetime) -> bool:
    return shows_any(source, since(instant))


def _likely_days(page: Page) -> list[dt.datetime]:
    """Return three days around the start of a task: it was created on one of them, in any time zone."""
    moments = (task.date_created or task.started_at for task in page.tasks)
    noon = next((noon_of(moment) for moment in moments if moment is not None), None)
    return [] if noon is None else [noon, noon - _A_DAY, noon + _A_DAY]
