"""Pages in, committed batches out; the account and the clock are watched at the door."""

from __future__ import annotations

import dataclasses
import datetime as dt
import time
from typing import TYPE_CHECKING

from etl.load.indexes import defer_indexes
from etl.load.rejected import park
from etl.load.seen import SeenTasks
from etl.load.task_rows import Sighting
from etl.load.transform import CLOCK_GRAIN
from etl.load.upsert import upsert_tasks
from etl.sync.clock import TOLERATED_DRIFT
from etl.sync.runs import save_counters
from etl.sync.watermark import add_present, save_client_ids

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa

    from etl.extract.payload import Page, Task, UnusableRecord
    from etl.sync.account import Account
    from etl.sync.clock import SourceClock
    from etl.sync.summary import RunSummary

# As large as promises about memory and about lost work allow.
BATCH_ROWS = 5_000
BATCH_BYTES = 32 * 1024 * 1024
# From a slow server: what was read is kept, and the database hears from us now and then.
BATCH_SECONDS = 10.0


class Intake:
    """
    Collects the pages of one run and loads them in batches.

    `present` counts the tasks that are here and not marked as removed. `is_contradicted` if a list held what
    its filter should have kept out. `shows_since` asks the source for tasks created at a time or later, where
    its filter can tell.
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
        self.is_contradicted = False
        self.shows_since: Callable[[dt.datetime], bool] | None = None
        self.seen = SeenTasks(connection, began_empty=present == 0)
        self._connection, self._summary = connection, summary
        self._account, self._clock = account, clock
        self._stored_client_ids = account.client_ids
        self._created_after: dt.datetime | None = None
        self._pending: list[Task] = []
        self._pending_rejected: list[UnusableRecord] = []
        self._pending_bytes = 0
        self._flushed_at = time.monotonic()
        self._may_defer = present == 0 and not summary.dry_run
        self._rejected_texts: set[int] = set()

    def look(self, page: Page) -> None:
        """Learn the source's time and the account from a page that is not to be loaded."""
        self._clock.hear(page)
        self._summary.pages += 1
        self._account.check(page)

    def take(self, page: Page) -> None:
        """Queue a page for loading, and load and commit when enough is queued."""
        self.look(page)
        self._doubt(page)
        self._pending.extend(page.tasks)
        self._pending_rejected.extend(page.unusable)
        self._summary.tasks_seen += len(page.tasks)
        self._pending_bytes += sum(record.size for record in page.records)
        records = len(self._pending) + len(self._pending_rejected)
        is_large = records >= BATCH_ROWS or self._pending_bytes >= BATCH_BYTES
        if is_large or time.monotonic() - self._flushed_at >= BATCH_SECONDS:
            self.flush()

    @property
    def is_dry(self) -> bool:
        """Whether nothing is to be stored."""
        return self._summary.dry_run

    @property
    def taken(self) -> int:
        """How many tasks were taken so far."""
        return self._summary.tasks_seen

    def expect(self, created_after: dt.datetime | None) -> None:
        """Note when what is read from now on was created at the earliest, going by its list."""
        if created_after != self._created_after:
            self.flush()
            self._created_after = created_after

    def flush(self) -> None:
        """Load and commit what is queued, with the counters of the run."""
        sighting = dataclasses.replace(self.sighting(), created_before=self._created_before())
        with self._summary.uncounted_on_failure(), self._connection.begin():
            self._load(sighting)
            if self._summary.dry_run:
                return
            save_counters(self._connection, self._summary)
            # With the first rows: a run that is killed leaves no rows of nobody knows which account.
            if self._account.client_ids != self._stored_client_ids:
                self._stored_client_ids = self._account.client_ids
                save_client_ids(self._connection, self._stored_client_ids)

    def _load(self, sighting: Sighting) -> None:
        summary = self._summary
        payloads, rejected = self._pending, self._pending_rejected
        self._pending, self._pending_rejected, self._pending_bytes = [], [], 0
        self._flushed_at = time.monotonic()
        if payloads and self._may_defer:
            defer_indexes(self._connection)
            self._may_defer = False
        tally = upsert_tasks(self._connection, payloads, sighting)
        self.seen.add(payload.task_id for payload in payloads)
        self._rejected_texts.update(hash(record.raw) for record in rejected)
        self.add_present(tally.inserted + tally.reappeared)
        if not summary.dry_run:
            park(self._connection, rejected, run_id=sighting.run_id, received_at=sighting.observed_at)
        summary.inserted += tally.inserted
        summary.updated += tally.updated
        summary.unchanged += tally.unchanged
        summary.rejected = len(self._rejected_texts)

    def add_present(self, number: int) -> None:
        """Count tasks that came or went, inside the transaction that says so."""
        self.present += number
        if not self._summary.dry_run:
            add_present(self._connection, number)

    def sighting(self) -> Sighting:
        """Say when and in which run the queued records were seen, and how old they are at the most."""
        return Sighting(
            run_id=self._summary.run_id or 0,
            observed_at=self._clock.observed_at(),
            created_after=self._created_after,
            is_dry=self._summary.dry_run,
        )

    def _created_before(self) -> dt.datetime | None:
        """
        Give a time before which all that is queued was created, None if nobody knows.

        The source's clock may be behind the one by which it dates its tasks. Where the filter can tell, the
        time is taken only if no task is shown that was created later, with a minute for those of just now.
        A task that has started was created before that, and needs no such time.
        """
        moment = self._clock.created_before()
        if moment is None or self.shows_since is None or self._summary.dry_run:
            return moment
        if all(task.started_at is not None for task in self._pending):
            return moment
        for spare in (dt.timedelta(0), TOLERATED_DRIFT):
            if not self.shows_since(moment + spare):
                return moment + spare
        self._clock.doubt()
        return None

    def _doubt(self, page: Page) -> None:
        """Notice a list that holds what its filter should have kept out."""
        after = self._created_after
        if after is not None and any(
            task.started_at is not None and task.started_at + CLOCK_GRAIN < after for task in page.tasks
        ):
            self._created_after, self.is_contradicted = None, True
