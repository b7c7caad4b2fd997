"""
How fast requests may start: as fast as the server takes them, and never above the user's `--max-rate`.

One object serves all threads of a client. It begins without a limit of its own. A 429 lowers the rate by a
part, and each answer raises it by a step (additive increase, multiplicative decrease), in large steps while
it is far below where it was refused last.
"""

from __future__ import annotations

import logging
import math
import threading
import time

logger = logging.getLogger(__name__)

# So near the rate that was refused last, the limit is known: a small cut, and small steps from there.
NEAR = (0.9, 1.2)
CUT_NEAR, CUT_FAR = 0.9, 0.5
# How much each answer adds: in requests a second, but at most such a part of the rate.
STEP_NEAR, STEP_FAR = (0.02, 0.002), (0.2, 0.02)
SLOWEST = 0.1


class Pacer:
    """Spaces the starts of requests evenly, at a rate that adapts to the server."""

    def __init__(self, max_rate: float | None, stopping: threading.Event) -> None:
        self._most = max_rate or math.inf
        self._rate = self._most
        self._refused_rate = math.inf
        self._stopping = stopping
        self._lock = threading.Lock()
        self._began_at: float | None = None
        self._next_start = 0.0
        self._passed = self._cuts = 0
        self._mine = threading.local()

    @property
    def rate(self) -> float:
        """How many requests a second may start now; infinity without a limit."""
        return self._rate

    def wait(self) -> None:
        """Return when this thread's next request may start, or at once when the run is stopping."""
        with self._lock:
            now = time.monotonic()
            self._began_at = self._began_at or now
            start = max(now, self._next_start)
            self._next_start = start + 1 / self._rate
            # What was given its turn before a cut comes too soon after it, too.
            self._mine.cuts = self._cuts
        if start > now:
            self._stopping.wait(start - now)

    def passed(self) -> None:
        """Hear that the server took this thread's request."""
        with self._lock:
            self._passed += 1
            if self._rate < self._most:
                step, part = STEP_NEAR if self._is_near() else STEP_FAR
                self._rate = min(self._most, self._rate + min(step, part * self._rate))

    def refused(self) -> None:
        """Hear that there were too many; what was sent before the last cut says nothing of the new rate."""
        with self._lock:
            if self._mine.cuts != self._cuts:
                return
            now = time.monotonic()
            tried = self._rate
            if math.isinf(tried):
                tried = max(1, self._passed) / max(now - (self._began_at or now), 1e-3)
            cut = CUT_NEAR if self._is_near() else CUT_FAR
            self._cuts += 1
            self._refused_rate, self._rate = tried, max(SLOWEST, tried * cut)
            self._next_start = now + 1 / self._rate
        logger.info("the API refuses so many requests; going on with %.1f a second", self._rate)

    def _is_near(self) -> bool:
        lower, upper = NEAR
        return lower * self._refused_rate < self._rate < upper * self._refused_rate
