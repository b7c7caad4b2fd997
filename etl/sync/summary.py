"""The summary of one run: the source of its row in `sync_runs`, of `--json` and of the printed report."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from etl.enums import RunMode, RunStatus

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator


# The `audit` of a run whose counts are as expected.
AUDIT_AGREES = "agrees"


@dataclasses.dataclass(slots=True, kw_only=True)
class RunSummary:
    """The counters and facts of one run, updated while it runs. After a failure they show how far it got."""

    run_id: int | None = None
    status: RunStatus = RunStatus.RUNNING
    mode: RunMode = RunMode.INCREMENTAL
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

    @contextlib.contextmanager
    def uncounted_on_failure(self) -> Iterator[None]:
        """Reset the counters if this block fails, because its transaction is rolled back."""
        before = dataclasses.replace(self)
        try:
            yield
        except BaseException:
            for field in dataclasses.fields(self):
                setattr(self, field.name, getattr(before, field.name))
            raise


class Progress(NamedTuple):
    """How many items have been read; `total` is None if it is unknown."""

    what: str  # tasks, transcripts or results
    done: int
    total: int | None


Observer = Callable[[RunSummary, Progress], None]


def ignore_progress(_summary: RunSummary, _progress: Progress) -> None:
    """Do nothing; the default observer."""
