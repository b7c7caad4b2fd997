"""Ends a pass that makes no progress because the list keeps changing, repeats itself or never ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etl.errors import DriftingPages, PageLoop, RunawayScan

if TYPE_CHECKING:
    from etl.extract.page_slice import PageSlice

MAX_MISSES = 50
# The first record of each slice is a landmark. Page drift moves it by one or two slices, not repeatedly by
# more.
MAX_LANDMARKS, MAX_DRIFT, MAX_RETURNS = 1000, 2, 20
# How much longer than its own count a list may become.
RUNAWAY_FACTOR, RUNAWAY_SLACK = 10, 1_000_000


class DriftGuard:
    """Counts the slices of one pass, and those that did not join the previous slice (misses)."""

    def __init__(self) -> None:
        self.slices = 0
        self._misses = self._returns = self._read = self._max_count = self._advances = 0
        self._landmarks: dict[str | bytes, int] = {}
        self._furthest_id = ""

    def record(self, here: PageSlice, new: int) -> None:
        """Count a slice with `new` records. Raises PageLoop or RunawayScan."""
        self.slices += 1
        if here.last_id and here.last_id > self._furthest_id:
            self._furthest_id = here.last_id
            self._advances += 1
        landmarks = here.keys & self._landmarks.keys()
        has_returned = any(self.slices - self._landmarks[key] > MAX_DRIFT for key in landmarks)
        self._returns = self._returns + 1 if has_returned else 0
        if self._returns > MAX_RETURNS:
            raise PageLoop(here.request.page)
        if here.keys and len(self._landmarks) < MAX_LANDMARKS:
            self._landmarks.setdefault(min(here.keys, key=str), self.slices)
        self._read += new
        self._max_count = max(self._max_count, here.page.count or 0)
        if self._read > RUNAWAY_FACTOR * self._max_count + RUNAWAY_SLACK:
            raise RunawayScan(
                f"the API reports {self._max_count:,} tasks but has listed {self._read:,}, "
                "and the list does not end"
            )

    def miss(self, *, is_ordered: bool, page_size: int) -> None:
        """
        Count a slice that did not join. Raises DriftingPages after too many, relative to the progress.

        Progress is the number of slices that reached further than all earlier ones. In a list without order
        this cannot be determined, so it is the number of slices, limited by the length of the list.
        """
        self._misses += 1
        progress = self._advances
        if not is_ordered:
            limit = RUNAWAY_FACTOR * (1 + self._max_count // page_size) if self._max_count else self.slices
            progress = min(self.slices, limit)
        if self._misses > MAX_MISSES + progress:
            raise DriftingPages(
                f"the list of tasks changed {self._misses} times while it was read; "
                "try again when fewer tasks are being deleted"
            )

    def restart(self) -> None:
        """Forget the landmarks: the pass starts again at the top."""
        self._landmarks.clear()
