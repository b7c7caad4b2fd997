"""What one run should do: the flags of `sync`, without the settings."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SyncOptions:
    """The options of one run; by default it is an incremental sync."""

    is_full: bool = False
    since: dt.datetime | None = None
    task_name: str | None = None
    status: str | None = None
    search: str | None = None
    task_id: str | None = None
    with_results: bool = True
    allow_mass_removal: bool = False
    allow_account_change: bool = False
    dry_run: bool = False
    # When the next run is due, if there is a schedule.
    next_run_in: dt.timedelta | None = None

    @property
    def filters(self) -> dict[str, str]:
        """The parameters of the list that limit this run to some tasks."""
        named = {name: getattr(self, name) for name in ("task_name", "status", "search", "task_id")}
        return {name: value for name, value in named.items() if value is not None}

    def mode(self, *, is_first: bool) -> str:
        """Return the value for `sync_runs.mode`."""
        if self.filters:
            return "partial"
        if self.since is not None:
            return "since"
        return "full" if self.is_full or is_first else "incremental"
