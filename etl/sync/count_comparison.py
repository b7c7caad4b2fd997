"""
The arithmetic of the count audit: whether the source has more or fewer tasks than are stored. Pure functions.

    difference = here - there - bias

`here` is the number of present tasks and rejected records; `there` is the unfiltered `count` of the source.
`bias` is the error of that count: the difference that a complete read of an unchanged source left
unexplained. The remaining difference is due to tasks that were deleted at the source but not yet detected
(more here), or missed (fewer here). Deletions can only increase it, so if it decreases although no task was
marked as removed, a task was missed.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt

    from etl.sync.state import SyncState


# Removals are suspicious if there are more than this number, and more than one in this many tasks.
SUSPICIOUS_REMOVALS, SUSPICIOUS_FRACTION = 50, 10


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CountComparison:
    """Both counts at about the same time; `surplus` is the unexplained difference of the last run."""

    here: int
    there: int
    bias: int
    surplus: int

    @property
    def difference(self) -> int:
        """The number of tasks that are only here, minus the number that are only there."""
        return self.here - self.there - self.bias

    @property
    def missed(self) -> int:
        """The minimum number of tasks of the source that are missing here."""
        return max(0, self.surplus - self.difference)

    @property
    def deleted(self) -> int:
        """The minimum number of tasks here that were deleted at the source."""
        return max(0, self.difference)


def is_full_read_due(
    comparison: CountComparison, state: SyncState, *, now: dt.datetime, audit_every: dt.timedelta
) -> bool:
    """Return whether the full read that finds deleted tasks is due."""
    return comparison.deleted > 0 and (state.last_full_at is None or now - state.last_full_at >= audit_every)


def is_suspicious(missing: int, present: int) -> bool:
    """Return whether so many present tasks are missing that the source itself is suspect."""
    return missing >= present or (missing > SUSPICIOUS_REMOVALS and missing * SUSPICIOUS_FRACTION > present)
