"""What one run did, for `sync_runs`, `--json` and the printed summary."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

COUNTERS = (
    "requests",
    "pages",
    "tasks_seen",
    "inserted",
    "updated",
    "unchanged",
    "removed",
    "results_archived",
    "rejected",
)


@dataclasses.dataclass(slots=True, kw_only=True)
class RunSummary:
    """Is updated during the run; after a failure it shows how far the run got."""

    run_id: int | None = None
    status: str = "running"
    mode: str = "incremental"
    requests: int = 0
    pages: int = 0
    tasks_seen: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    results_archived: int = 0
    rejected: int = 0
    results_waiting: int | None = None
    results_at_risk: int | None = None
    results_syncs_left: int | None = None
    results_seconds_left: float | None = None
    first_result_lost_at: dt.datetime | None = None
    unreadable_times: int = 0
    date_filter: str | None = None
    audit: str | None = None
    watermark_before: dt.datetime | None = None
    watermark: dt.datetime | None = None
    started_at: dt.datetime | None = None
    duration_seconds: float = 0.0
    dry_run: bool = False
    error: str | None = None

    def counters(self) -> dict[str, int]:
        """Return the counters by the names of their columns in `sync_runs`."""
        return {name: getattr(self, name) for name in COUNTERS}

    @contextlib.contextmanager
    def uncounted_on_failure(self) -> Iterator[None]:
        """Restore the counters if this block, a transaction, fails."""
        before = self.counters()
        try:
            yield
        except BaseException:
            for name, number in before.items():
                setattr(self, name, number)
            raise


class Progress(NamedTuple):
    """How much has been read; `total` is None if it is not known."""

    what: str  # tasks, results
    done: int
    total: int | None


Observer = Callable[[RunSummary, Progress], None]


def ignore_progress(_summary: RunSummary, _progress: Progress) -> None:
    """Do nothing."""
