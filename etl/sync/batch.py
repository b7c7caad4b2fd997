"""Collects pages into batches and commits them; each page also updates the account and the clock."""

from __future__ import annotations

import dataclasses
import datetime as dt
import time
from typing import TYPE_CHECKING

import sqlalchemy as sa

from etl.load.indexes import build_indexes, defer_indexes
from etl.load.rejected_records import reject
from etl.load.task_rows import CLOCK_RESOLUTION, Observation
from etl.load.upsert import are_stored, upsert_tasks
from etl.models import TASKS
from etl.sync.clock import TOLERATED_DRIFT
from etl.sync.run_record import save_counters
from etl.sync.state import add_present, write_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from etl.extract.page_size import PageSizes
    from etl.extract.payload import Page, TaskPayload, UnusableRecord
    from etl.load.removals import SeenTasks
    from etl.sync.account import Account
    from etl.sync.clock import SourceClock
    from etl.sync.state import SyncState
    from etl.sync.summary import RunSummary

# Larger batches would use more memory, and lose more work when a run ends early.
BATCH_ROWS = 5_000
BATCH_BYTES = 32 * 1024 * 1024
# With a slow server, tasks are committed after this time, so that the session does not stay idle.
BATCH_SECONDS = 10.0


class BatchLoader:
    """
    Collects the pages of one run and loads them in batches.

    `present` is the number of stored tasks that are not marked as removed; `seen` contains the tasks of all
    pages. `has_since` asks the API for tasks created at a time or later, if its filter supports that.
    Each batch also stores the clients of the account, and the page `sizes`, that the run has learnt.
    """

    def __init__(  # noqa: PLR0913
        self,
        connection: sa.Connection,
        summary: RunSummary,
        state: SyncState,
        *,
        account: Account,
        clock: SourceClock,
        seen: SeenTasks,
        sizes: PageSizes,
        has_since: Callable[[dt.datetime], bool],
    ) -> None:
        self.summary, self.seen, self.present = summary, seen, state.present_tasks
        self._connection, self._state, self._has_since = connection, state, has_since
        self._account, self._clock, self._sizes = account, clock, sizes
        self._created_after: dt.datetime | None = None
        self._pending: list[TaskPayload] = []
        self._pending_rejected: list[UnusableRecord] = []
        self._pending_bytes = 0
        self._flushed_at = time.monotonic()
        self._has_loaded = False
        # The greatest id loaded; None if tasks were stored before this run.
        self._greatest_id: str | None = None
        self._rejected_texts: set[int] = set()

    def observe(self, page: Page) -> None:
        """Update the clock and the account from a page that is not loaded."""
        self._clock.observe(page)
        self.summary.pages += 1
        self._account.check(page)

    def add(self, page: Page, created_after: dt.datetime | None = None) -> bool:
        """
        Queue a page of a list whose tasks were created after `created_after`; load and commit a full batch.

        Return False if the page contains an older task, which means that the list's filter works differently
        than assumed. The bound is then used neither for this page nor for those already queued.
        """
        if created_after != self._created_after:
            self.flush()
            self._created_after = created_after
        self.observe(page)
        is_within = created_after is None or not _starts_before(page, created_after)
        if not is_within:
            self._created_after = None
        self._pending.extend(page.tasks)
        self._pending_rejected.extend(page.unusable)
        self.summary.tasks_seen += len(page.tasks)
        self._pending_bytes += sum([record.size for record in page.records])
        records = len(self._pending) + len(self._pending_rejected)
        is_large = records >= BATCH_ROWS or self._pending_bytes >= BATCH_BYTES
        if is_large or time.monotonic() - self._flushed_at >= BATCH_SECONDS:
            self.flush()
        return is_within

    def flush(self) -> None:
        """Load and commit the queued records, with the counters of the run."""
        observation = dataclasses.replace(self.observation(), created_before=self._created_before())
        with self.summary.uncounted_on_failure(), self._connection.begin():
            self._load(observation)
            if self.summary.dry_run:
                return
            save_counters(self._connection, self.summary)
            # Together with the first rows: a killed run must not leave rows of an unknown account.
            learnt = dataclasses.replace(
                self._state,
                client_ids=self._account.client_ids,
                granted_page_size=self._sizes.granted,
                max_page_size=self._sizes.maximum or self._state.max_page_size,
            )
            write_state(self._connection, self._state, learnt)
            self._state = learnt

    def flush_after_failure(self) -> None:
        """Load and commit the queued records after the API has failed, and build missing indexes."""
        if self.summary.dry_run:
            return
        # Nothing can confirm the clock now.
        self._clock.distrust()
        self.flush()
        with self._connection.begin():
            build_indexes(self._connection)

    def _load(self, observation: Observation) -> None:
        summary = self.summary
        payloads, rejected = self._pending, self._pending_rejected
        self._pending, self._pending_rejected, self._pending_bytes = [], [], 0
        self._flushed_at = time.monotonic()
        are_new = bool(payloads) and self._are_new(payloads)
        counts = upsert_tasks(self._connection, payloads, observation, are_new=are_new)
        self.seen.add([payload.task_id for payload in payloads])
        self._rejected_texts.update(hash(record.raw) for record in rejected)
        self.add_present(counts.inserted + counts.reappeared)
        if not summary.dry_run:
            reject(self._connection, rejected, run_id=observation.run_id, received_at=observation.observed_at)
        summary.inserted += counts.inserted
        summary.updated += counts.updated
        summary.unchanged += counts.unchanged
        summary.rejected = len(self._rejected_texts)

    def _are_new(self, payloads: list[TaskPayload]) -> bool:
        """
        Return whether these tasks need not be looked up, because none of them can be stored.

        In a first load, in the order of ids, that is every task: its id is greater than all stored ones.
        """
        if not self._has_loaded:
            self._has_loaded = True
            if self.present == 0 and not self._connection.scalar(sa.select(sa.exists().select_from(TASKS))):
                self._greatest_id = ""
                if not self.summary.dry_run:
                    defer_indexes(self._connection)
        if self._greatest_id is None:
            return False
        ids = [payload.task_id for payload in payloads]
        are_new = min(ids) > self._greatest_id
        self._greatest_id = max(self._greatest_id, *ids)
        return are_new

    def _are_stored(self, payloads: list[TaskPayload]) -> bool:
        """Return whether all of these are stored unchanged; False in a first load, without looking."""
        if self.present == 0 or self._greatest_id is not None:
            return False
        with self._connection.begin():
            return are_stored(self._connection, payloads)

    def add_present(self, number: int) -> None:
        """Add to the number of present tasks, inside the transaction that stores or removes them."""
        self.present += number
        if not self.summary.dry_run:
            add_present(self._connection, number)

    def observation(self) -> Observation:
        """Return the run and time of the queued records, and the lower bound on their creation."""
        return Observation(
            run_id=self.summary.run_id or 0,
            observed_at=self._clock.observed_at(),
            created_after=self._created_after,
            dry_run=self.summary.dry_run,
        )

    def _created_before(self) -> dt.datetime | None:
        """
        Return a time before which all queued tasks were created; None if it is unknown.

        The clock of the responses may be behind the clock that sets the times of tasks. If the filter can
        tell, it must confirm that no task is newer; the second try allows for tasks created just now. A task
        that has started was created before that, and one that is stored has its bound already.
        """
        moment = self._clock.created_before()
        if moment is None or self.summary.dry_run:
            return moment
        unstarted = [task for task in self._pending if task.started_at is None]
        if not unstarted or self._are_stored(unstarted):
            return moment
        for allowance in (dt.timedelta(0), TOLERATED_DRIFT):
            if not self._has_since(moment + allowance):
                return moment + allowance
        self._clock.distrust()
        return None


def _starts_before(page: Page, instant: dt.datetime) -> bool:
    started = page.column("started_at")
    return bool(started) and min(started) + CLOCK_RESOLUTION < instant
