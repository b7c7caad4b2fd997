"""
The arithmetic of the count audit: does the source have more tasks than are here, or fewer? Pure.

    difference = here - there - bias

`here` counts the tasks present and the records set aside, `there` is the unfiltered `count`. The `bias` is
what a complete read over a source that held still left unexplained: a count that is wrong by so many. What
remains are tasks deleted at the source and not yet noticed (more here) or missed (fewer here). Deletions only
add up; so a difference that falls, without a task having been marked as removed, means a task was missed too.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt

    from etl.sync.state import SyncState


# More than this many at once, and more than this part of all, are doubted.
SUSPICIOUS_REMOVALS, SUSPICIOUS_FRACTION = 50, 10


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CountBalance:
    """Both sides at about one instant, and what the last run left unexplained."""

    here: int
    there: int
    bias: int
    surplus: int

    @property
    def difference(self) -> int:
        """How many more tasks are here than there."""
        return self.here - self.there - self.bias

    @property
    def missed(self) -> int:
        """How many tasks of the source must be missing here, at the least."""
        return max(0, self.surplus - self.difference)

    @property
    def deleted(self) -> int:
        """How many tasks here must be gone at the source, at the least."""
        return max(0, self.difference)


def is_full_read_due(
    balance: CountBalance, state: SyncState, *, now: dt.datetime, audit_every: dt.timedelta
) -> bool:
    """Tell whether deletions have waited long enough for the full read that finds them."""
    return balance.deleted > 0 and (state.last_full_at is None or now - state.last_full_at >= audit_every)


def is_suspicious(missing: int, present: int) -> bool:
    """Tell whether so many of the present tasks are missing that the source is to be doubted, not they."""
    return missing >= present or (missing > SUSPICIOUS_REMOVALS and missing * SUSPICIOUS_FRACTION > present)
