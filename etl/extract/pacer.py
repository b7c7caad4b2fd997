"""How fast requests may start: the user's `--max-rate`, shared by all threads."""

from __future__ import annotations

import threading
import time


class Pacer:
    """Spaces the starts of requests evenly, at most `max_rate` a second."""

    def __init__(self, max_rate: float | None, stopping: threading.Event) -> None:
        self._interval = 1 / max_rate if max_rate else 0.0
        self._stopping = stopping
        self._lock = threading.Lock()
        self._next_start = 0.0

    def wait(self) -> None:
        """Return when the next request may start, or at once when the run is stopping."""
        if not self._interval:
            return
        with self._lock:
            now = time.monotonic()
            start = max(now, self._next_start)
            self._next_start = start + self._interval
        if start > now:
            self._stopping.wait(start - now)
