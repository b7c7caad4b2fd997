"""What one run did, as `sync_runs`, `--json` and the last lines on the screen tell it."""

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
    """Grows while the run goes on; after a failure it tells how far the run came."""

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
        """Give what is counted, under the names of the columns of `sync_runs`."""
        return {name: getattr(self, name) for name in COUNTERS}

    @contextlib.contextmanager
    def uncounted_on_failure(self) -> Iterator[None]:
        """Count what is done in this block only if it is committed."""
        before = self.counters()
        try:
            yield
        except BaseException:
            for name, number in before.items():
                setattr(self, name, number)
            raise


class Progress(NamedTuple):
    """How much of what is being read has come; `total` is None where nobody knows it."""

    what: str  # tasks, results
    done: int
    total: int | None


Observer = Callable[[RunSummary, Progress], None]


def ignore_progress(_summary: RunSummary, _progress: Progress) -> None:
    """Watch nothing."""
