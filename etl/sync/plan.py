"""The choice of the lists in which a run finds new tasks, given the semantics of `date_created`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from etl.enums import DateFilter, RunMode
from etl.errors import RequestRefused
from etl.extract.page_source import shows_any
from etl.sync.list_reader import WindowResult
from etl.sync.window import EVERYTHING, Window, plan_window, window_since

if TYPE_CHECKING:
    import datetime as dt

    from etl.extract.payload import Page
    from etl.settings import Settings
    from etl.sync.clock import SourceClock
    from etl.sync.date_filter_semantics import DateFilterSemantics
    from etl.sync.early_requests import EarlyRequests
    from etl.sync.list_reader import ListReader
    from etl.sync.options import SyncOptions
    from etl.sync.state import SyncState


class Plan:
    """
    Chooses the lists that contain the new tasks.

    `covered` is the time before which everything is stored; None before the first run. `first_page`
    is that of the unfiltered list, served at `now`.
    """

    def __init__(  # noqa: PLR0913
        self,
        source: EarlyRequests,
        clock: SourceClock,
        semantics: DateFilterSemantics,
        state: SyncState,
        *,
        settings: Settings,
        options: SyncOptions,
        covered: dt.datetime | None,
        first_page: Page,
        now: dt.datetime,
    ) -> None:
        self._source, self._clock, self._semantics = source, clock, semantics
        self._state, self._covered = state, covered
        self._lookback, self._options = settings.lookback, options
        self._shows_nothing, self._now = not first_page.records, now

    def read(self, reader: ListReader) -> WindowResult:
        """Find out what `date_created` means, if that is not known, and read the window."""
        semantics, filters = self._semantics, self._options.filters
        expected = semantics.expected_requests(self._clock) if not filters else []
        with self._source.sent([*expected, *reader.expected_requests(self._choose(), filters)]):
            if not filters:
                semantics.probe_if_due()
            semantics.check_clock(self._clock, may_change=not filters)
            return self._read(reader)

    def _read(self, reader: ListReader) -> WindowResult:
        """Read the window; if `date_created` turns out to have other semantics, read another one."""
        semantics = self._semantics
        window, filters, before = self._choose(), self._options.filters, semantics.value
        if filters or window.is_everything or not window.queries:
            return reader.read_window(window, filters)
        # If the list is refused, the count audit finds missing tasks.
        result = WindowResult(window=window, has_tasks=False, is_filter_violated=False)
        # If the list of a day has any task, that verifies the filter.
        verifies_itself = before == DateFilter.DAY
        try:
            asked = self._without_tomorrow(window) if verifies_itself else window
            if not verifies_itself:
                semantics.verify()
            if semantics.value == before:
                # The audit reads the whole window again: tomorrow may have begun by then.
                result = dataclasses.replace(reader.read_window(asked, {}), window=window)
                if verifies_itself and not result.has_tasks:
                    semantics.verify()
        except RequestRefused:
            semantics.probe_again(is_disproved=True)
        if semantics.value != before:
            result = reader.read_window(self._choose(), {})
        return result

    def _without_tomorrow(self, window: Window) -> Window:
        """
        Return the window without its last day if that day has no tasks.

        The last day is tomorrow in UTC. If it has tasks, the server's time zone is ahead, or the server
        ignores the filter.
        """
        *queries, tomorrow = window.queries
        if not shows_any(self._source, tomorrow.filters):
            return dataclasses.replace(window, queries=tuple(queries))
        self._semantics.check_excludes()
        return window

    def _choose(self) -> Window:
        """Return the window to read; everything, if the API shows no tasks but some are stored."""
        semantics = self._semantics.value or DateFilter.UNKNOWN
        mode = self._options.mode(is_first=self._state.watermark is None)
        if self._state.present_tasks and self._shows_nothing and not self._options.filters:
            return EVERYTHING
        if self._options.since is not None:
            window = window_since(self._options.since, now=self._now, semantics=semantics)
            # The lists that replace the date filter have filters of their own, or none.
            return window if window.queries or not self._options.filters else EVERYTHING
        if mode != RunMode.INCREMENTAL:
            return EVERYTHING
        return plan_window(self._covered, lookback=self._lookback, now=self._now, semantics=semantics)
