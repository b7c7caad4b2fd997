"""
The server's time, from the `Date` headers of its responses (promise P12).

A response may have a wrong `Date`: from a proxy's cache, or from a machine whose clock is wrong. Therefore
the clock uses the time that most responses of the run agree on. If all responses of a run are wrong, the next
run corrects it: it measures by this machine's clock how much time has really passed.
"""

from __future__ import annotations

import datetime as dt
import logging
import statistics
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from etl.load.task_rows import CLOCK_RESOLUTION

if TYPE_CHECKING:
    from collections.abc import Callable

    from etl.extract.payload import Page

logger = logging.getLogger(__name__)

# Two responses come from different clocks if their dates differ by more than this from the time between them.
TOLERATED_DRIFT = dt.timedelta(minutes=1)
# A clock that is off by more than this must be confirmed by another one.
MAX_UNCONFIRMED_SKEW = dt.timedelta(days=1)
_SAMPLES = 31


class _Sample(NamedTuple):
    served_at: dt.datetime
    skew: dt.timedelta  # how far the server's clock is ahead of this machine's


class SourceClock:
    """
    Reads the `Date` of every page; until one is usable, uses `now`, this machine's clock.

    `newest` is the latest start of a task that was stored when the run began, or a later time of a task on
    the first page; `started_at` is this machine's time at the run's first response.
    """

    def __init__(self, now: Callable[[], dt.datetime], *, newest: dt.datetime | None) -> None:
        self.newest = newest
        self.started_at: dt.datetime | None = None
        self._now = now
        self._first: dt.datetime | None = None
        self._samples: deque[_Sample] = deque(maxlen=_SAMPLES)
        self._bounds_creation = True
        self._has_warned = False

    def observe(self, page: Page) -> None:
        """Evaluate another response. They arrive in any order, because some are requested in advance."""
        latest = _latest(page)
        received_at = self._now()
        if page.received_at is not None:
            received_at -= dt.timedelta(seconds=time.monotonic() - page.received_at)
        is_first = self.started_at is None
        if is_first:
            self.started_at = received_at
            self.newest = max(filter(None, (self.newest, latest)), default=None)
        served_at = page.served_at
        if served_at is not None and not self._is_plausible(served_at, received_at, latest):
            self._warn(served_at)
            served_at = None
        if served_at is None or (latest is not None and latest > served_at + CLOCK_RESOLUTION):
            self.distrust()
        if served_at is not None:
            self._first = served_at if is_first else self._first
            self._samples.append(_Sample(served_at, served_at - received_at))
            if served_at not in self._agreed():
                self._warn(served_at)
                self.distrust()

    def distrust(self) -> None:
        """Stop deriving bounds from this clock: a task was created later than the clock says."""
        self._bounds_creation = False

    @property
    def first_served_at(self) -> dt.datetime | None:
        """
        The server's time at the run's first response, if any response had a usable `Date`.

        It is the `Date` of that response, unless the others show that it was ahead. A time that is too early
        is safer than one that is too late.
        """
        skew = self._skew()
        if skew is None or self.started_at is None:
            return None
        estimate = self.started_at + skew
        if self._first is not None and self._first <= estimate + TOLERATED_DRIFT:
            return self._first
        return estimate.replace(microsecond=0)

    def observed_at(self) -> dt.datetime:
        """Return the server's time, or this machine's if no response had a usable `Date`."""
        return max(self._agreed(), default=None) or self._now()

    def created_before(self) -> dt.datetime | None:
        """
        Return a time before which every task in the responses so far was created.

        None if a response had no usable `Date`, or one earlier than the times of a task, because the real
        time is then unknown.
        """
        latest = max(self._agreed(), default=None)
        return latest + CLOCK_RESOLUTION if latest is not None and self._bounds_creation else None

    def _is_plausible(
        self, served_at: dt.datetime, received_at: dt.datetime, latest: dt.datetime | None
    ) -> bool:
        """
        Return whether this machine's clock, or the times of a task, confirm a `Date`.

        No task has a time in the future, so the newest time is a lower bound of the current time.
        """
        newest = max(filter(None, (self.newest, latest)), default=None)
        is_local_clock_behind = newest is not None and newest > received_at + MAX_UNCONFIRMED_SKEW
        if served_at > received_at + MAX_UNCONFIRMED_SKEW:
            return is_local_clock_behind
        return newest is None or is_local_clock_behind or newest <= served_at + MAX_UNCONFIRMED_SKEW

    def _skew(self) -> dt.timedelta | None:
        """Return the median skew; if the two middle ones differ, the one nearer to this machine's clock."""
        if not self._samples:
            return None
        skews = [sample.skew for sample in self._samples]
        return min(statistics.median_low(skews), statistics.median_high(skews), key=abs)

    def _agreed(self) -> list[dt.datetime]:
        """Return the times of the responses that agree with most others."""
        skew = self._skew()
        return [
            sample.served_at
            for sample in self._samples
            if skew is not None and abs(sample.skew - skew) <= TOLERATED_DRIFT
        ]

    def _warn(self, served_at: dt.datetime) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning("the Date of a response, %s, contradicts other clocks and is not used", served_at)


def _latest(page: Page) -> dt.datetime | None:
    times = (max(page.column(name), default=None) for name in ("started_at", "completed_at", "date_created"))
    return max(filter(None, times), default=None)
