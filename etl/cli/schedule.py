"""When `watch` starts its next sync."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

# In seconds. After the machine was suspended, the schedule notices it within this time.
_MAX_NAP = 30.0


def seconds_since_boot() -> float:
    """Return a monotonic clock, which includes the time the machine was suspended where the system allows."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Schedule:
    """
    Turns at a fixed interval, measured from start to start.

    A turn that is late, because the previous one took long or the machine was suspended, starts immediately,
    and the interval is measured from it. Missed turns are not made up.
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
        """Block until the next turn is due."""
        self._due = max(self._due + self._every, self._clock())
        while (left := self._due - self._clock()) > 0:
            self._sleep(min(left, _MAX_NAP))
        # After waking a little late, the schedule is kept; after a suspension, it restarts from now.
        if left < -_MAX_NAP:
            self._due -= left
