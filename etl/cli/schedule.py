"""When the next turn of a command that repeats itself is due."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

# How soon it is noticed that the machine was suspended.
_MAX_NAP = 30.0


def seconds_since_boot() -> float:
    """Return a clock that nobody sets; where the system has one, it also counts the time in suspension."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Schedule:
    """
    Turns at a fixed distance from the first, whenever one ends.

    A turn that is late, because the one before took long or the machine was suspended, is due at once, and
    the next ones are counted from it: those that were missed are not made up for.
    """

    def __init__(
        self,
        every: dt.timedelta,
        *,
        clock: Callable[[], float] = seconds_since_boot,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._every = every.total_seconds()
        self._clock, self._sleep = clock, sleep
        self._due = clock()

    def wait(self) -> None:
        """Return when the next turn is due."""
        self._due = max(self._due + self._every, self._clock())
        while (left := self._due - self._clock()) > 0:
            self._sleep(min(left, _MAX_NAP))
        # Who wakes a little late keeps the pace; who was suspended starts a new pace.
        if left < -_MAX_NAP:
            self._due -= left
