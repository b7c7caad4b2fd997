"""What one run reads to find new tasks: planned, and planned anew where the source objects."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from etl.errors import RequestRefused
from etl.extract.date_filter import shows_any
from etl.sync.date_filter_semantics import DateFilterSemantics
from etl.sync.window import EVERYTHING, Window, plan_window, window_since

if TYPE_CHECKING:
    import datetime as dt

    from etl.extract.paginator import PageSource
    from etl.extract.payload import Page
    from etl.settings import Settings
    from etl.sync.list_reader import ListReader
    from etl.sync.options import SyncOptions
    from etl.sync.state import SyncState


class Plan:
    """
    Chooses the lists that hold what is new.

    `verdict` is what `date_created` is taken to mean; `covered` is when the tasks that are stored end, None
    while none are; `shown` is an unfiltered page, served at `now`.
    """

    def __init__(  # noqa: PLR0913
        self,
        source: PageSource,
        state: SyncState,
        settings: Settings,
        options: SyncOptions,
        *,
        covered: dt.datetime | None,
        shown: Page,
        now: dt.datetime,
    ) -> None:
        self.semantics = DateFilterSemantics(source, shown, state, forced=settings.date_filter)
        self._source, self._state, self._covered = source, state, covered
        self._lookback, self._options = settings.lookback, options
        self._shows_nothing, self._now = not shown.records, now
        if not options.filters:
            self.semantics.find_out(now)

    def read(self, reader: ListReader) -> Window:
        """Read what is new; where `date_created` turns out not to mean what was thought, in another way."""
        window, filters, before = self._choose(), self._options.filters, self.semantics.value
        if filters or window.is_everything or not window.queries:
            reader.read_window(window, filters)
            return window
        # A day's list that holds anything shows by itself that it lets through what it should.
        shows_itself = before == "day"
        try:
            asked = self._without_tomorrow(window) if shows_itself else window
            if not shows_itself:
                self.semantics.verify(self._now)
            if self.semantics.value == before and not reader.read_window(asked, {}) and shows_itself:
                self.semantics.verify(self._now)
        except RequestRefused:
            self.recheck(is_disproved=True)
        if self.semantics.value != before:
            window = self._choose()
            reader.read_window(window, {})
        return window

    def _without_tomorrow(self, window: Window) -> Window:
        """
        Give the window without its last day, if that shows no task.

        It is the server's tomorrow: if there are tasks on it, either its zone is ahead, or it keeps out none.
        """
        *queries, tomorrow = window.queries
        if not shows_any(self._source, tomorrow.filters):
            return dataclasses.replace(window, queries=tuple(queries))
        self.semantics.suspect(self._now)
        return window

    def recheck(self, *, is_disproved: bool = False) -> None:
        """Find out anew what `date_created` means: what was read does not fit."""
        self.semantics.recheck(self._now, is_disproved=is_disproved)

    def _choose(self) -> Window:
        """Choose what to read; everything, if the source shows no task while there are some here."""
        semantics = self.semantics.value or "unknown"
        mode = self._options.mode(is_first=self._state.watermark is None)
        if self._state.present_tasks and self._shows_nothing and not self._options.filters:
            return EVERYTHING
        if self._options.since is not None:
            return window_since(self._options.since, now=self._now, semantics=semantics)
        if mode != "incremental":
            return EVERYTHING
        return plan_window(self._covered, lookback=self._lookback, now=self._now, semantics=semantics)
