"""
How fast requests may start: as fast as the server accepts them, and never above the user's `--max-rate`.

One object serves all threads of a client. It starts without a limit of its own. A 429 cuts the rate by a
factor, and each response raises it by a step (additive increase, multiplicative decrease), in large steps
while it is far below the rate that was refused last.

Servers count requests in windows of time: once a limit is exceeded, they refuse everything until the window
ends. So of several 429s in a row only the first one says something about the rate, and never that it is much
lower than what was accepted just before; each further one doubles the pause. Threads that wait for their turn
wait longer then, and keep their place in the queue.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etl.stop import Stop

logger = logging.getLogger(__name__)

# This close to the rate that was refused last, the limit is known: cut a little, then take small steps.
NEAR = (0.9, 1.2)
CUT_NEAR, CUT_FAR = 0.9, 0.5
# What each response adds: requests per second, and at most this fraction of the rate.
STEP_NEAR, STEP_FAR = (0.02, 0.002), (0.2, 0.02)
MIN_RATE_PER_SECOND = 0.1
# The server can accept again what it accepted recently: in so many seconds, or the last few requests.
RECENT_SECONDS, MIN_RECENT = 1.0, 3
# After a 429, and after several in a row, in seconds; each request is retried only for a limited time.
MIN_PAUSE, MAX_PAUSE = 0.01, 2.0


@dataclasses.dataclass(eq=False, slots=True)
class _Turn:
    start: float


class RateLimiter:
    """Spaces the starts of requests evenly, at a rate that adapts to the server."""

    def __init__(self, max_rate: float | None, stop: Stop) -> None:
        self._max_rate = max_rate or math.inf
        # How many requests may start per second; infinity without a limit.
        self.rate = self._max_rate
        self._refused_rate = math.inf
        self._stop = stop
        self._lock = threading.Lock()
        self._started_at: float | None = None
        self._next_start = 0.0
        self._waiting: deque[_Turn] = deque()
        self._accepted_at: deque[float] = deque()
        self._max_accepted = self._refusals = 0
        self._pause = 0.0
        self._per_thread = threading.local()

    def wait(self) -> None:
        """Return when this thread's next request may start; raise Stopped when the run is told to stop."""
        with self._lock:
            now = time.monotonic()
            self._started_at = self._started_at or now
            turn = _Turn(max(now, self._next_start))
            self._next_start = turn.start + 1 / self.rate
            self._waiting.append(turn)
        try:
            # A 429 in another thread may postpone this turn meanwhile.
            while (left := turn.start - time.monotonic()) > 0:
                self._stop.wait(left)
        finally:
            with self._lock:
                self._waiting.remove(turn)
                self._per_thread.refusals = self._refusals

    def on_success(self) -> None:
        """Record a response other than 429 to this thread's request."""
        with self._lock:
            self._accepted_at.append(time.monotonic())
            if self._is_current():
                self._pause = 0.0
            if self.rate < self._max_rate:
                step, fraction = STEP_NEAR if self._is_near() else STEP_FAR
                self.rate = min(self._max_rate, self.rate + min(step, fraction * self.rate))
            self._forget()
            self._max_accepted = max(self._max_accepted, len(self._accepted_at))

    def on_throttled(self) -> None:
        """Slow down after a 429, unless the request was sent before the last one: then this is known."""
        with self._lock:
            if not self._is_current():
                return
            now = time.monotonic()
            if not self._pause or math.isinf(self.rate):
                self._cut(now)
            self._pause = max(1 / self.rate, MIN_PAUSE, min(2 * self._pause, MAX_PAUSE))
            self._next_start = now + self._pause
            # The waiting threads start then, in the order in which they came.
            for turn in self._waiting:
                turn.start = self._next_start
                self._next_start += 1 / self.rate
            self._refusals += 1
        if not math.isinf(self.rate):
            logger.info("the API limits the rate of requests; continuing at %.1f per second", self.rate)

    def _is_current(self) -> bool:
        """Return whether this thread's request was sent after the last 429."""
        refusals: int = self._per_thread.refusals
        return refusals == self._refusals

    def _cut(self, now: float) -> None:
        self._forget()
        accepted, since = len(self._accepted_at), self._accepted_at[0] if self._accepted_at else now
        recent = accepted / max(RECENT_SECONDS, now - since) if accepted >= MIN_RECENT else 0.0
        tried = self.rate
        if math.isinf(tried):
            # Not the most recent rate: the client may have been busy with something else.
            elapsed = max(now - (self._started_at or now), 1e-3)
            if self._max_accepted < MIN_RECENT and elapsed > RECENT_SECONDS and not self._refusals:
                return  # so few requests in so long say how busy the client was, not what the server accepts
            tried = max(1, self._max_accepted) / min(RECENT_SECONDS, elapsed)
        cut = CUT_NEAR if self._is_near() else CUT_FAR
        self._refused_rate = tried
        self.rate = min(self._max_rate, max(MIN_RATE_PER_SECOND, tried * cut, CUT_NEAR * recent))

    def _forget(self) -> None:
        horizon = time.monotonic() - RECENT_SECONDS
        while len(self._accepted_at) > MIN_RECENT and self._accepted_at[0] <= horizon:
            self._accepted_at.popleft()

    def _is_near(self) -> bool:
        lower, upper = NEAR
        return lower * self._refused_rate < self.rate < upper * self._refused_rate
