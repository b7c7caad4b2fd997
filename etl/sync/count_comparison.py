"""
The arithmetic of the count audit: does the source have more tasks than are here, or fewer? Pure.

    difference = here - there - bias

`here` counts the present tasks and the rejected records, `there` is the unfiltered `count`. The `bias` is
the difference that a complete read left unexplained over an unchanged source: the error of its count.
The rest are tasks deleted at the source and not yet noticed (more here) or missed (fewer here). Deletions
only add up; so if the difference falls without a task having been marked as removed, a task was missed.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt

    from etl.sync.state import SyncState


# More removals at once than this number, and than one in so many tasks, are suspicious.
SUSPICIOUS_REMOVALS, SUSPICIOUS_FRACTION = 50, 10


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CountComparison:
    """Both counts at about the same time, and the difference that the last run left unexplained."""

    here: int
    there: int
    bias: int
    surplus: int

    @property
    def difference(self) -> int:
        """The number of tasks that are here and not there, less those there and not here."""
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
    """Return whether so many of the present tasks are missing that the source itself is suspect."""
    return missing >= present or (missing > SUSPICIOUS_REMOVALS and missing * SUSPICIOUS_FRACTION > present)
