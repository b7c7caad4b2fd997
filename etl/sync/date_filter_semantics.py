"""The date-filter semantics that a run uses: forced, remembered or probed now, and verified."""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING

from etl.enums import DateFilter
from etl.extract.date_filter import FAR_AHEAD, LONG_AGO, probe_date_filter, shows_since, since, still_holds
from etl.load.task_rows import CLOCK_RESOLUTION
from etl.sync.early_requests import ListRequest

if TYPE_CHECKING:
    from etl.extract.page_source import PageSource
    from etl.extract.payload import Page
    from etl.sync.clock import SourceClock
    from etl.sync.state import SyncState

logger = logging.getLogger(__name__)

# A server may change its semantics. Every run checks those that it relies on; once a week, all are probed.
CHECKED_EVERY = dt.timedelta(days=7)


class DateFilterSemantics:
    """
    The semantics assumed for `date_created`.

    `value` is used by this run; `found` is stored for later runs; `checked_at` is when they were probed.
    `first_page` is that of the unfiltered list, served at `now`. Forced semantics are dropped if the server
    proves them wrong.
    """

    def __init__(
        self, source: PageSource, first_page: Page, state: SyncState, *, forced: str | None, now: dt.datetime
    ) -> None:
        self.found, self.checked_at = state.date_filter, state.date_filter_checked_at
        self._source, self._first_page, self._forced, self._now = source, first_page, forced, now

    @property
    def value(self) -> str | None:
        """The semantics to use; None if they were never probed."""
        return self._forced or self.found

    def expected_requests(self, clock: SourceClock) -> list[ListRequest]:
        """Return the requests that follow, if the filter works as `gte`."""
        is_unknown = self.value in {None, DateFilter.UNKNOWN}
        if not self._first_page.records or not (is_unknown or self.value == DateFilter.GTE):
            return []
        moments = [LONG_AGO] if is_unknown or self.checked_at != self._now else []
        if is_unknown:
            moments.append(FAR_AHEAD)
        if clock.first_served_at is not None:
            moments.append(clock.first_served_at + CLOCK_RESOLUTION)
        return [ListRequest(since(moment)) for moment in moments]

    def probe_if_due(self) -> None:
        """Probe, unless the semantics are forced, or known and recent."""
        is_fresh = self.checked_at is not None and self._now - self.checked_at < CHECKED_EVERY
        if self._forced is None and not (is_fresh and self.found not in {None, DateFilter.UNKNOWN}):
            self._probe()

    def verify(self) -> None:
        """Check with a few requests (one for `gte`) that the filter finds new tasks; if not, probe."""
        if self.checked_at != self._now and not still_holds(self._source, self._first_page, self.value):
            self.probe_again(is_disproved=True)

    def check_excludes(self) -> None:
        """Check that the filter, which returned tasks from the future, excludes any at all; if not, probe."""
        if shows_since(self._source, FAR_AHEAD):
            self.probe_again(is_disproved=True)

    def has_since(self, moment: dt.datetime) -> bool:
        """Return whether the filter shows that a task was created at `moment` or later, if it can tell."""
        return self.value == DateFilter.GTE and shows_since(self._source, moment)

    def check_clock(self, clock: SourceClock, *, may_change: bool) -> None:
        """
        Distrust the clock if the filter is unknown; check a filter that returns tasks created after its time.

        Such a filter may return too many tasks, or the clock is behind. It is checked if it `may_change`.
        """
        if self.value in {None, DateFilter.UNKNOWN}:
            clock.distrust()
        elif self.value == DateFilter.GTE and may_change:
            served_at = clock.first_served_at
            if served_at is None or shows_since(self._source, served_at + CLOCK_RESOLUTION):
                self.check_excludes()

    def probe_again(self, *, is_disproved: bool = False) -> None:
        """Probe again after a contradiction; forced semantics are only replaced if they are disproved."""
        before = self.value
        if is_disproved:
            self._forced = None
        if self._forced is None:
            self._probe()
        if self.value != before:
            logger.warning(
                "the date_created filter was assumed to work as '%s', but works as '%s'", before, self.value
            )

    def _probe(self) -> None:
        self.found, self.checked_at = probe_date_filter(self._source, self._first_page), self._now
