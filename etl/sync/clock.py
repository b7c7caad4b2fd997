"""The source's time, as its answers tell it (promise P12)."""

from __future__ import annotations

import itertools
import operator
from typing import TYPE_CHECKING

from etl.load.transform import CLOCK_GRAIN

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from etl.extract.payload import Page

_times = operator.attrgetter("started_at", "completed_at", "date_created")


class SourceClock:
    """
    Reads the `Date` of every page; `now` stands in while no answer has a usable one.

    `first_served_at` is the source's time at the run's first answer, None if that did not say; `newest` the
    last time that any task had by then, as far as is known.
    """

    def __init__(self, now: Callable[[], dt.datetime], *, newest: dt.datetime | None) -> None:
        self.first_served_at: dt.datetime | None = None
        self.newest = newest
        self._now = now
        self._latest: dt.datetime | None = None
        self._is_first, self._bounds_creation = True, True

    def hear(self, page: Page) -> None:
        """Learn from one more answer. They come in any order: some were asked for ahead of time."""
        served_at = page.served_at
        if self._is_first:
            self.first_served_at, self._is_first = served_at, False
            self.newest = max(filter(None, (self.newest, _latest(page))), default=None)
        latest = _latest(page)
        if served_at is None or (latest is not None and latest > served_at + CLOCK_GRAIN):
            self.doubt()
        if served_at is not None:
            self._latest = max(served_at, self._latest or served_at)

    def doubt(self) -> None:
        """Take no bound from this clock: there is a task that was created later than it says."""
        self._bounds_creation = False

    def observed_at(self) -> dt.datetime:
        """Say what time it is at the source, or here if it never told."""
        return self._latest or self._now()

    def created_before(self) -> dt.datetime | None:
        """
        Give a time before which everything shown so far was created.

        None if an answer had no usable `Date`, or one earlier than the times of a task: then nobody knows how
        late it really was.
        """
        return self._latest + CLOCK_GRAIN if self._latest is not None and self._bounds_creation else None


def _latest(page: Page) -> dt.datetime | None:
    times = itertools.chain.from_iterable(map(_times, page.tasks))
    return max(filter(None, times), default=None)
