"""
How fast requests may start: as fast as the server takes them, and never above the user's `--max-rate`.

One object serves all threads of a client. It begins without a limit of its own. A 429 lowers the rate by a
part, and each answer raises it by a step (additive increase, multiplicative decrease), in large steps while
it is far below where it was refused last.

Servers count over windows of time: once too much was sent, they refuse everything until it is past, however
slow it comes. So of refusals in a row only the first says something of the rate, and never that it is much
lower than what was taken just before; each further one doubles the wait.
"""

from __future__ import annotations

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
SLOWEST = 0.1
# What a server took lately, in so many seconds or the last few requests, it can take again.
LATELY, FEW = 1.0, 3
# After so many refusals in a row, or seconds, waits are as long as they get: a request is not tried for ever.
MOST_DOUBLINGS, LONGEST_WAIT = 20, 2.0


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
        self._passed_at: deque[float] = deque()
        self._most_passed = self._refusals = self._refused_in_a_row = 0
        self._mine = threading.local()

    @property
    def rate(self) -> float:
        """How many requests a second may start now; infinity without a limit."""
        return self._rate

    def wait(self) -> None:
        """Return when this thread's next request may start, or at once when the run is stopping."""
        while True:
            with self._lock:
                now = time.monotonic()
                self._began_at = self._began_at or now
                start = max(now, self._next_start)
                self._next_start = start + 1 / self._rate
                self._mine.turn = self._refusals
            if start <= now or self._stopping.wait(start - now) or self._has_turn():
                return

    def passed(self) -> None:
        """Hear that the server took this thread's request."""
        with self._lock:
            self._passed_at.append(time.monotonic())
            if self._has_turn():
                self._refused_in_a_row = 0
            if self._rate < self._most:
                step, part = STEP_NEAR if self._is_near() else STEP_FAR
                self._rate = min(self._most, self._rate + min(step, part * self._rate))
            self._forget()
            self._most_passed = max(self._most_passed, len(self._passed_at))

    def refused(self) -> None:
        """Hear that there were too many; what was sent before the last refusal says nothing new."""
        with self._lock:
            if not self._has_turn():
                return
            now = time.monotonic()
            if not self._refused_in_a_row:
                self._cut(now)
            doubled = 2.0 ** min(self._refused_in_a_row, MOST_DOUBLINGS) / self._rate
            self._next_start = now + max(1 / self._rate, min(doubled, LONGEST_WAIT))
            self._refusals += 1
            self._refused_in_a_row += 1
        logger.info("the API refuses so many requests; going on with %.1f a second", self._rate)

    def _has_turn(self) -> bool:
        """Tell whether this thread was given its turn after the last refusal; an earlier one is void."""
        turn: int = self._mine.turn
        return turn == self._refusals

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
        self._rate = min(self._most, max(SLOWEST, tried * cut, CUT_NEAR * lately))

    def _forget(self) -> None:
        """Keep what was taken lately."""
        horizon = time.monotonic() - LATELY
        while len(self._passed_at) > FEW and self._passed_at[0] <= horizon:
            self._passed_at.popleft()

    def _is_near(self) -> bool:
        lower, upper = NEAR
        return lower * self._refused_rate < self._rate < upper * self._refused_rate
