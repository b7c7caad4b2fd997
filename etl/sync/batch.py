"""Pages in, committed batches out; the account and the clock are watched at the door."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from etl.load.indexes import defer_indexes
from etl.load.rejected_records import reject
from etl.load.removals import SeenTasks
from etl.load.task_rows import Observation
from etl.load.transform import CLOCK_RESOLUTION
from etl.load.upsert import upsert_tasks
from etl.sync.runs import save_counters
from etl.sync.state import add_present, save_client_ids

if TYPE_CHECKING:
    import datetime as dt

    import sqlalchemy as sa

    from etl.extract.payload import Page, TaskPayload, UnusableRecord
    from etl.sync.account import Account
    from etl.sync.clock import SourceClock
    from etl.sync.summary import RunSummary

# As large as promises about memory and about lost work allow.
BATCH_ROWS = 5_000
BATCH_BYTES = 32 * 1024 * 1024
# From a slow server: what was read is kept, and the database hears from us now and then.
BATCH_SECONDS = 10.0


class BatchLoader:
    """
    Collects the pages of one run and loads them in batches.

    `present` is the number of stored tasks that are not marked as removed. `is_filter_violated` is set once a
    list held a task that its filter should have excluded.
    """

    def __init__(
        self,
        connection: sa.Connection,
        summary: RunSummary,
        *,
        account: Account,
        clock: SourceClock,
        present: int,
    ) -> None:
        self.present = present
        self.is_filter_violated = False
        self.seen = SeenTasks(connection, began_empty=present == 0)
        self._connection, self._summary = connection, summary
        self._account, self._clock = account, clock
        self._stored_client_ids = account.client_ids
        self._created_after: dt.datetime | None = None
        self._pending: list[TaskPayload] = []
        self._pending_rejected: list[UnusableRecord] = []
        self._pending_bytes = 0
        self._flushed_at = time.monotonic()
        self._may_defer = present == 0 and not summary.dry_run
        self._rejected_texts: set[int] = set()

    def observe(self, page: Page) -> None:
        """Learn the source's time and the account from a page that is not to be loaded."""
        self._clock.observe(page)
        self._summary.pages += 1
        self._account.check(page)

    def add(self, page: Page) -> None:
        """Queue a page for loading, and load and commit when enough is queued."""
        self.observe(page)
        self._check_filter(page)
        self._pending.extend(page.tasks)
        self._pending_rejected.extend(page.unusable)
        self._summary.tasks_seen += len(page.tasks)
        self._pending_bytes += sum(record.size for record in page.records)
        records = len(self._pending) + len(self._pending_rejected)
        is_large = records >= BATCH_ROWS or self._pending_bytes >= BATCH_BYTES
        if is_large or time.monotonic() - self._flushed_at >= BATCH_SECONDS:
            self.flush()

    @property
    def dry_run(self) -> bool:
        """Whether nothing is to be stored."""
        return self._summary.dry_run

    @property
    def tasks_read(self) -> int:
        """How many tasks were taken so far."""
        return self._summary.tasks_seen

    def set_created_after(self, created_after: dt.datetime | None) -> None:
        """Note when what is read from now on was created at the earliest, going by its list."""
        if created_after != self._created_after:
            self.flush()
            self._created_after = created_after

    def flush(self) -> None:
        """Load and commit what is queued, with the counters of the run."""
        with self._summary.uncounted_on_failure(), self._connection.begin():
            self.load()
            if self._summary.dry_run:
                return
            save_counters(self._connection, self._summary)
            # With the first rows: a run that is killed leaves no rows of nobody knows which account.
            if self._account.client_ids != self._stored_client_ids:
                self._stored_client_ids = self._account.client_ids
                save_client_ids(self._connection, self._stored_client_ids)

    def load(self) -> None:
        """Load what is queued inside the caller's transaction."""
        summary = self._summary
        payloads, rejected = self._pending, self._pending_rejected
        self._pending, self._pending_rejected, self._pending_bytes = [], [], 0
        self._flushed_at = time.monotonic()
        observation = self.observation()
        if payloads and self._may_defer:
            defer_indexes(self._connection)
            self._may_defer = False
        counts = upsert_tasks(self._connection, payloads, observation)
        self.seen.add(payload.task_id for payload in payloads)
        self._rejected_texts.update(hash(record.raw) for record in rejected)
        self.add_present(counts.inserted + counts.reappeared)
        if not summary.dry_run:
            reject(self._connection, rejected, run_id=observation.run_id, received_at=observation.observed_at)
        summary.inserted += counts.inserted
        summary.updated += counts.updated
        summary.unchanged += counts.unchanged
        summary.rejected = len(self._rejected_texts)

    def add_present(self, number: int) -> None:
        """Count tasks that came or went, inside the transaction that says so."""
        self.present += number
        if not self._summary.dry_run:
            add_present(self._connection, number)

    def observation(self) -> Observation:
        """Say when and in which run the queued records were seen, and when they were created."""
        return Observation(
            run_id=self._summary.run_id or 0,
            observed_at=self._clock.observed_at(),
            created_after=self._created_after,
            created_before=self._clock.created_before(),
            dry_run=self._summary.dry_run,
        )

    def _check_filter(self, page: Page) -> None:
        """Notice a list that holds what its filter should have kept out."""
        after = self._created_after
        if after is not None and any(
            task.started_at is not None and task.started_at + CLOCK_RESOLUTION < after for task in page.tasks
        ):
            self._created_after, self.is_filter_violated = None, True
