"""Which meaning of `date_created` a run goes by: forced, remembered or found out now, and does it hold."""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING

from etl.extract.date_filter import FAR_AHEAD, probe_date_filter, shows_since, still_holds

if TYPE_CHECKING:
    from etl.extract.pages import PageSource
    from etl.extract.payload import Page
    from etl.sync.watermark import State

logger = logging.getLogger(__name__)

# A server may change its mind. Whether to our harm, every run looks; whether at all, four requests a week.
CHECKED_EVERY = dt.timedelta(days=7)


class Verdict:
    """
    What `date_created` is taken to mean.

    `value` is the verdict that this run goes by, `found` the one to remember, `checked_at` when it was found.
    `shown` is an unfiltered page. A forced verdict gives way where the server shows that it is wrong.
    """

    def __init__(self, source: PageSource, shown: Page, state: State, *, forced: str | None) -> None:
        self.found, self.checked_at = state.date_filter, state.date_filter_checked_at
        self._source, self._shown, self._forced = source, shown, forced

    @property
    def value(self) -> str | None:
        """The verdict to go by; None if nobody has asked yet."""
        return self._forced or self.found

    def find_out(self, now: dt.datetime) -> None:
        """Ask, unless the answer is forced, or known and not old."""
        is_fresh = self.checked_at is not None and now - self.checked_at < CHECKED_EVERY
        if self._forced is None and not (is_fresh and self.found not in {None, "unknown"}):
            self._probe(now)

    def verify(self, now: dt.datetime) -> None:
        """Ask whether new tasks can be found by it, in a request for `gte`, a few for `day`; else anew."""
        if self.checked_at != now and not still_holds(self._source, self._shown, self.value):
            self.recheck(now, is_disproved=True)

    def suspect(self, now: dt.datetime) -> None:
        """Look whether a filter that shows tasks from after now keeps any out; else ask anew."""
        if shows_since(self._source, FAR_AHEAD):
            self.recheck(now, is_disproved=True)

    def recheck(self, now: dt.datetime, *, is_disproved: bool = False) -> None:
        """Ask anew, because what was read does not fit; a forced verdict gives way only to a proof."""
        before = self.value
        if is_disproved:
            self._forced = None
        if self._forced is None:
            self._probe(now)
        if self.value != before:
            logger.warning("date_created was taken for %r and turns out to be %r", before, self.value)

    def _probe(self, now: dt.datetime) -> None:
        self.found, self.checked_at = probe_date_filter(self._source, self._shown), now
