"""Which meaning of `date_created` a run goes by: forced, remembered, or found out now."""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING

from etl.extract.date_filter import probe_date_filter

if TYPE_CHECKING:
    from etl.extract.pages import PageSource
    from etl.extract.payload import Page
    from etl.sync.watermark import State

logger = logging.getLogger(__name__)

# A server may change its mind; four requests a week find out.
CHECKED_EVERY = dt.timedelta(days=7)


class Verdict:
    """
    What `date_created` is taken to mean.

    `value` is the verdict that this run goes by, `found` the one to remember, `checked_at` when it was found.
    """

    def __init__(self, source: PageSource, state: State, *, forced: str | None) -> None:
        self.found, self.checked_at = state.date_filter, state.date_filter_checked_at
        self._source, self._forced = source, forced

    @property
    def value(self) -> str | None:
        """The verdict to go by; None if nobody has asked yet."""
        return self._forced or self.found

    def find_out(self, shown: Page, now: dt.datetime) -> None:
        """Ask, unless the answer is forced, or known and not old; `shown` is an unfiltered page."""
        is_fresh = self.checked_at is not None and now - self.checked_at < CHECKED_EVERY
        if self._forced is None and not (is_fresh and self.found not in {None, "unknown"}):
            self._probe(shown, now)

    def recheck(self, shown: Page, now: dt.datetime, *, is_refused: bool = False) -> None:
        """Ask anew, because what was read does not fit; a forced verdict gives way only to a refusal."""
        before = self.value
        if is_refused:
            self._forced = None
        if self._forced is None:
            self._probe(shown, now)
        if self.value != before:
            logger.warning("date_created was taken for %r and turns out to be %r", before, self.value)

    def _probe(self, shown: Page, now: dt.datetime) -> None:
        self.found, self.checked_at = probe_date_filter(self._source, shown), now
