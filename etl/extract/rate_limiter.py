"""
How fast requests may start: as fast as the server takes them, and never above the user's `--max-rate`.

One object serves all threads of a client. It begins without a limit of its own. A 429 lowers the rate by a
part, and each answer raises it by a step (additive increase, multiplicative decrease), in large steps while
it is far below where it was refused last.

Servers count over windows of time: once too much was sent, they refuse everything until it is past, however
slow it comes. So of refusals in a row only the first says something of the rate, and never that it is much
lower than what was taken just before; each further one doubles the pause. Who waits for a turn meanwhile is
put off, and keeps the place in the queue.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
import time
from collections import deque

logger = logging.getLogger(__name__)

# So near the rate that was refused last, the limit is known: a small cut, and small steps from there.
NEAR = (0.9, 1.2)
CUT_NEAR, CUT_FAR = 0.9, 0.5
# How much each answer adds: in requests a second, but at most such a part of the rate.
STEP_NEAR, STEP_FAR = (0.02, 0.002), (0.2, 0.02)
MIN_RATE_PER_SECOND = 0.1
# What a server took lately, in so many seconds or the last few requests, it can take again.
LATELY, FEW = 1.0, 3
# Of seconds, after refusals in a row; a request is not tried for ever.
MAX_PAUSE = 2.0


@dataclasses.dataclass(eq=False, slots=True)
class _Turn:
    start: float


class RateLimiter:
    """Spaces the starts of requests evenly, at a rate that adapts to the server."""

    def __init__(self, max_rate: float | None, stopping: threading.Event) -> None:
        self._most = max_rate or math.inf
        self._rate = self._most
        self._refused_rate = math.inf
        self._stopping = stopping
        self._lock = threading.Lock()
        self._began_at: float | None = None
        self._next_start = 0.0
        self._waiting: deque[_Turn] = deque()
        self._passed_at: deque[float] = deque()
        self._most_passed = self._refusals = 0
        self._pause = 0.0
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
            turn = _Turn(max(now, self._next_start))
            self._next_start = turn.start + 1 / self._rate
            self._waiting.append(turn)
        is_stopping = False
        while True:
            with self._lock:
                left = turn.start - time.monotonic()
                if left <= 0 or is_stopping:
                    self._waiting.remove(turn)
                    self._mine.refusals = self._refusals
                    return
            is_stopping = self._stopping.wait(left)

    def on_success(self) -> None:
        """Hear that the server took this thread's request."""
        with self._lock:
            self._passed_at.append(time.monotonic())
            if self._is_news():
                self._pause = 0.0
            if self._rate < self._most:
                step, part = STEP_NEAR if self._is_near() else STEP_FAR
                self._rate = min(self._most, self._rate + min(step, part * self._rate))
            self._forget()
            self._most_passed = max(self._most_passed, len(self._passed_at))

    def on_throttled(self) -> None:
        """Hear that there were too many; what was sent before the last refusal says nothing new."""
        with self._lock:
            if not self._is_news():
                return
            now = time.monotonic()
            if not self._pause:
                self._cut(now)
            self._pause = max(1 / self._rate, min(2 * self._pause, MAX_PAUSE))
            self._put_off(now + self._pause)
            self._refusals += 1
        logger.info("the API refuses so many requests; going on with %.1f a second", self._rate)

    def _is_news(self) -> bool:
        """Tell whether this thread's request was sent after the last refusal."""
        refusals: int = self._mine.refusals
        return refusals == self._refusals

    def _put_off(self, start: float) -> None:
        """Let those who wait begin then, in the order in which they came."""
        for turn in self._waiting:
            turn.start = start
            start += 1 / self._rate
        self._next_start = start

    def _cut(self, now: float) -> None:
        self._forget()
        taken, since = len(self._passed_at), self._passed_at[0] if self._passed_at else now
        lately = taken / max(LATELY, now - since) if taken >= FEW else 0.0
        tried = self._rate
        if math.isinf(tried):
            # Not what was taken just now: the client may have been busy with something else.
            tried = max(1, self._most_passed) / min(LATELY, max(now - (self._began_at or now), 1e-3))
        cut = CUT_NEAR if self._is_near() else CUT_FAR
        self._refused_rate = tried
        self._rate = min(self._most, max(MIN_RATE_PER_SECOND, tried * cut, CUT_NEAR * lately))

    def _forget(self) -> None:
        """Keep what was taken lately."""
        horizon = time.monotonic() - LATELY
        while len(self._passed_at) > FEW and self._passed_at[0] <= horizon:
            self._passed_at.popleft()

    def _is_near(self) -> bool:
        lower, upper = NEAR
        return lower * self._refused_rate < self._rate < upper * self._refused_rate
