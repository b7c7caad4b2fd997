"""
One run: reads, loads and commits, then advances the watermark.

What happens if the process dies? The run's row is committed before the first request. Each batch of pages is
committed with the run's counters. The watermark and the marks on removed tasks share a transaction with the
last rows. If the process dies before that commit, the next run starts where this one did; after it, only
results are missing, and each batch of results is a separate transaction. If a run could not close its row,
the next run does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from etl.database.cancel import cancelled_on_stop
from etl.errors import DatabaseError, MassRemoval, SourceError
from etl.load.indexes import build_indexes
from etl.load.removals import mark_all_removed, mark_removed
from etl.load.stored_tasks import newest_start
from etl.load.task_rows import Observation
from etl.sync.account import Account
from etl.sync.archive import archive_results
from etl.sync.batch import BatchLoader
from etl.sync.clock import SourceClock
from etl.sync.count_audit import AuditOutcome, is_suspicious
from etl.sync.run_parts import RunParts, build_parts
from etl.sync.run_record import RunRecord, save_counters
from etl.sync.state import SyncState, read_state, state_of_another_account, write_state
from etl.sync.summary import Progress, RunSummary, ignore_progress
from etl.sync.watermark import advance, read_until

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa

    from etl.extract.client import Client
    from etl.extract.payload import Page
    from etl.settings import Settings
    from etl.sync.options import SyncOptions
    from etl.sync.summary import Observer
    from etl.sync.window import Window


def utc_now() -> dt.datetime:
    """Return this machine's time."""
    return dt.datetime.now(dt.UTC)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _ReadResult:
    """The window that was read, the outcome of the audit, and the tasks that were removed at the source."""

    window: Window
    audit: AuditOutcome
    removed: tuple[str, ...] = ()


class Run:
    """
    One execution, over a connection with no other writer; use it once.

    `observe` is called after each page and each result, with the summary so far and the progress. The run
    ends when the client's `stop` is set.
    """

    def __init__(  # noqa: PLR0913
        self,
        connection: sa.Connection,
        client: Client,
        settings: Settings,
        options: SyncOptions,
        *,
        now: Callable[[], dt.datetime] = utc_now,
        observe: Observer = ignore_progress,
        summary: RunSummary | None = None,
    ) -> None:
        self.summary = summary or RunSummary()
        self._connection, self._client = connection, client
        self._settings, self._options = settings, options
        self._now, self._observe = now, observe
        self._record = RunRecord(connection, client, self.summary, now)

    def execute(self) -> RunSummary:
        """
        Bring the database up to date with the source, within the limits of the options.

        If an error occurs, it is recorded in the run's row and then raised; committed data is kept.
        """
        try:
            with cancelled_on_stop(self._connection, self._client.stop):
                self._sync()
        except BaseException as error:
            self._client.stop.set()
            self._record.close(error)
            raise
        self._record.close()
        return self.summary

    def _sync(self) -> None:
        state, clock, account, loader = self._open()
        try:
            parts = self._probe_source(state, clock, account, loader)
            self._commit(parts, self._read(parts))
            self._archive(clock)
        except SourceError:
            # The first error is the one to report.
            with contextlib.suppress(DBAPIError, DatabaseError):
                loader.keep()
            raise

    def _open(self) -> tuple[SyncState, SourceClock, Account, BatchLoader]:
        connection = self._connection
        with connection.begin():
            state = read_state(connection)
            self._record.open(state, self._options)
            clock = SourceClock(self._now, newest=newest_start(connection))
            account = Account(
                connection,
                self._client,
                state,
                page_size=self._settings.page_size,
                may_change=self._options.allow_account_change,
            )
            loader = BatchLoader(
                connection, self.summary, account=account, clock=clock, present=state.present_tasks
            )
        return state, clock, account, loader

    def _probe_source(
        self, state: SyncState, clock: SourceClock, account: Account, loader: BatchLoader
    ) -> RunParts:
        """Request any one task: the server clock and the account must be known before anything else."""
        shown = self._client.fetch_page({}, page=1, limit=1)
        loader.observe(shown)
        if account.is_changed:
            state = self._switch_account(state, clock, account, loader)
        self._report(shown)
        return build_parts(
            self._connection,
            self._client,
            self._settings,
            self._options,
            state=state,
            clock=clock,
            account=account,
            loader=loader,
            shown=shown,
            now=self._now(),
            report=self._report,
        )

    def _switch_account(
        self, state: SyncState, clock: SourceClock, account: Account, loader: BatchLoader
    ) -> SyncState:
        """
        Switch this copy permanently to the account of the key; commit, and return its state.

        All tasks of the old account are marked as removed. If the run ends here, the next one reads all tasks
        of the new account.
        """
        self.summary.mode = self._options.mode(is_first=True)
        with self._connection.begin():
            after = state_of_another_account(self._connection, state, account.client_ids)
            if not self.summary.dry_run:
                observation = Observation(run_id=self.summary.run_id or 0, observed_at=clock.observed_at())
                self.summary.removed = mark_all_removed(self._connection, observation)
                loader.present = 0
                write_state(self._connection, state, after)
                save_counters(self._connection, self.summary)
        return after

    def _read(self, parts: RunParts) -> _ReadResult:
        """Read new tasks and tasks in flight, and then any tasks that the audit finds missing."""
        read, summary = parts.plan.read(parts.reader), self.summary
        audit, removed = AuditOutcome(is_complete=read.window.is_everything and not self._options.filters), []
        if not read.window.is_everything and not self._options.filters:
            removed = parts.reader.read_in_flight()
            if not summary.dry_run:
                audit = parts.audit.settle(read.window, removed=len(removed), has_new=bool(summary.inserted))
                if audit.contradicts_filter or read.is_filter_violated:
                    parts.plan.recheck()
            summary.audit = audit.text
        summary.date_filter = parts.plan.semantics.value
        return _ReadResult(window=read.window, audit=audit, removed=tuple(removed))

    def _commit(self, parts: RunParts, read: _ReadResult) -> None:
        """Commit the marks on removed tasks and the watermark for the tasks read, in one transaction."""
        summary, connection, loader = self.summary, self._connection, parts.loader
        with connection.begin():
            missing = loader.seen.count_missing() if read.audit.is_complete else len(read.removed)
        state = parts.audit.close(missing, is_complete=read.audit.is_complete)
        with summary.uncounted_on_failure(), connection.begin():
            self._remove(parts, read, missing)
            after = self._advance(parts, read, state)
            self._record.count()
            if not summary.dry_run:
                build_indexes(connection)
                write_state(connection, parts.state, after)
                save_counters(connection, summary)
        summary.watermark = after.watermark

    def _remove(self, parts: RunParts, read: _ReadResult, missing: int) -> None:
        """Mark missing tasks as removed; raise MassRemoval if there are suspiciously many."""
        if not missing:
            return
        present = parts.loader.present
        is_allowed = self._options.allow_mass_removal or parts.account.is_changed
        if is_suspicious(missing, present) and not is_allowed:
            raise MassRemoval(missing, present)
        self.summary.removed += missing
        parts.loader.add_present(-missing)
        if self.summary.dry_run:
            return
        if read.audit.is_complete:
            parts.loader.seen.mark_missing(parts.loader.observation())
        else:
            mark_removed(self._connection, read.removed, parts.loader.observation())

    def _advance(self, parts: RunParts, read: _ReadResult, state: SyncState) -> SyncState:
        is_complete, clock = read.audit.is_complete, parts.clock
        if is_complete or not self._options.filters:
            state = advance(
                state,
                clock,
                read.window,
                covered=read_until(state, clock, lookback=self._settings.lookback, now=self._now()),
                is_complete=is_complete,
                now=self._now(),
            )
        return dataclasses.replace(
            state,
            date_filter=parts.plan.semantics.found,
            date_filter_checked_at=parts.plan.semantics.checked_at,
            client_ids=parts.account.client_ids,
            present_tasks=parts.loader.present,
            last_full_at=clock.observed_at() if is_complete else state.last_full_at,
        )

    def _archive(self, clock: SourceClock) -> None:
        """Fetch results, which are committed in batches; the tasks are already committed."""
        if self.summary.dry_run or not self._options.with_results:
            return
        archive_results(
            self._connection,
            self._client,
            self.summary,
            max_results=self._settings.max_results,
            retry_all=self._options.is_full,
            patience=self._settings.retry_for,
            next_run_in=self._options.next_run_in,
            now=clock.observed_at,
            report=self._report_progress,
        )

    def _report(self, page: Page) -> None:
        self._report_progress(Progress("tasks", self.summary.tasks_seen, page.count))

    def _report_progress(self, progress: Progress) -> None:
        self._client.stop.check()
        self._record.count()
        self._observe(self.summary, progress)
