"""The options of one run, as opposed to the settings that all runs share."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from etl.enums import RunMode

if TYPE_CHECKING:
    import datetime as dt


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SyncOptions:
    """The options of one run. The defaults are those of an incremental sync."""

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
    # The interval until the next run, if a schedule defines it.
    next_run_in: dt.timedelta | None = None

    @property
    def filters(self) -> dict[str, str]:
        """The filters of the API's list that limit this run to some tasks."""
        named = {name: getattr(self, name) for name in ("task_name", "status", "search", "task_id")}
        return {name: value for name, value in named.items() if value is not None}

    def mode(self, *, is_first: bool) -> RunMode:
        """Return the mode of the run, as stored in `sync_runs.mode`."""
        if self.filters:
            return RunMode.PARTIAL
        if self.since is not None:
            return RunMode.SINCE
        return RunMode.FULL if self.is_full or is_first else RunMode.INCREMENTAL
