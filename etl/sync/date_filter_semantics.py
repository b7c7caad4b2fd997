"""The date-filter semantics that a run uses: forced, remembered or probed now, and verified."""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING

from etl.extract.date_filter import FAR_AHEAD, probe_date_filter, shows_later_than, still_holds

if TYPE_CHECKING:
    from etl.extract.page_source import PageSource
    from etl.extract.payload import Page
    from etl.sync.state import SyncState

logger = logging.getLogger(__name__)

# A server may change its semantics. Every run checks what it relies on; the rest is probed once a week.
CHECKED_EVERY = dt.timedelta(days=7)


class DateFilterSemantics:
    """
    What `date_created` is taken to mean.

    `value` are the semantics that this run uses, `found` those to remember, `checked_at` when they were
    probed. `shown` is an unfiltered page. Forced semantics are dropped if the server proves them wrong.
    """

    def __init__(self, source: PageSource, shown: Page, state: SyncState, *, forced: str | None) -> None:
        self.found, self.checked_at = state.date_filter, state.date_filter_checked_at
        self._source, self._shown, self._forced = source, shown, forced

    @property
    def value(self) -> str | None:
        """The semantics to use; None if they were never probed."""
        return self._forced or self.found

    def find_out(self, now: dt.datetime) -> None:
        """Probe, unless the semantics are forced, or known and recent."""
        is_fresh = self.checked_at is not None and now - self.checked_at < CHECKED_EVERY
        if self._forced is None and not (is_fresh and self.found not in {None, "unknown"}):
            self._probe(now)

    def verify(self, now: dt.datetime) -> None:
        """Check that the filter finds new tasks, with one request for `gte`, a few for `day`; else probe."""
        if self.checked_at != now and not still_holds(self._source, self._shown, self.value):
            self.recheck(now, is_disproved=True)

    def suspect(self, now: dt.datetime) -> None:
        """Check that the filter, which returned tasks from after now, excludes any; else probe."""
        if shows_later_than(self._source, FAR_AHEAD):
            self.recheck(now, is_disproved=True)

    def recheck(self, now: dt.datetime, *, is_disproved: bool = False) -> None:
        """Probe again, because it contradicts what was read; only proof overrides forced semantics."""
        before = self.value
        if is_disproved:
            self._forced = None
        if self._forced is None:
            self._probe(now)
        if self.value != before:
            logger.warning("date_created was taken to mean %r and turns out to mean %r", before, self.value)

    def _probe(self, now: dt.datetime) -> None:
        self.found, self.checked_at = probe_date_filter(self._source, self._shown), now
