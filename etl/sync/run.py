"""
One run: reads, loads and commits, then advances the watermark.

What happens if the process dies? The run's row is committed before the first request. Rows are committed in
batches, each with the run's counters. The watermark and the marks on removed tasks follow in one separate
transaction, after all rows. If the process dies before that commit, the next run starts from the same
watermark as this one; after it, only results are pending, and each batch of results is a separate
transaction. If a run could not close its row, the next run does.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from etl.database.cancel import cancelled_on_stop
from etl.errors import DatabaseError, MassRemoval, SourceError
from etl.load.indexes import build_indexes
from etl.load.removals import SeenTasks, mark_all_removed, mark_removed
from etl.load.task_rows import Observation
from etl.models import TASKS
from etl.sync.account import Account
from etl.sync.archive import archive_results
from etl.sync.batch import BatchLoader
from etl.sync.clock import SourceClock
from etl.sync.count_audit import AuditOutcome, CountAudit, is_suspicious
from etl.sync.date_filter_semantics import DateFilterSemantics
from etl.sync.early_requests import EarlyRequests
from etl.sync.list_reader import ListReader
from etl.sync.plan import Plan
from etl.sync.run_record import RunRecord, save_counters
from etl.sync.state import SyncState, read_state, state_of_another_account, write_state
from etl.sync.summary import Progress, RunSummary, ignore_progress
from etl.sync.watermark import advance, covered_until

if TYPE_CHECKING:
    from collections.abc import Callable

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
    """The window that was read, the outcome of the audit, and the tasks that the API no longer lists."""

    window: Window
    audit: AuditOutcome
    removed: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """The collaborators of one run, and the state that it began with."""

    state: SyncState
    clock: SourceClock
    account: Account
    semantics: DateFilterSemantics
    loader: BatchLoader
    reader: ListReader
    plan: Plan
    audit: CountAudit


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
        self._connection, self._client, self._source = connection, client, EarlyRequests(client)
        self._settings, self._options = settings, options
        self._now, self._observe = now, observe
        self._record = RunRecord(connection, client, self.summary, now)

    def execute(self) -> RunSummary:
        """
        Bring the database up to date with the API, within the limits of the options.

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
        parts = self._prepare()
        try:
            self._commit(parts, self._read(parts))
            self._archive(parts.clock)
        except SourceError:
            # The first error is the one to report.
            with contextlib.suppress(DBAPIError, DatabaseError):
                parts.loader.flush_after_failure()
            raise

    def _prepare(self) -> _Parts:
        """Open the run's row, and build its collaborators from the stored state and the first response."""
        connection, source, options = self._connection, self._source, self._options
        with connection.begin():
            state = read_state(connection)
            self._record.open(state, options)
            newest = connection.scalar(sa.select(sa.func.max(TASKS.c.started_at)))
            seen = SeenTasks(connection, began_empty=state.present_tasks == 0)
        clock = SourceClock(self._now, newest=newest)
        account = Account(
            connection,
            source,
            state,
            page_size=self._settings.page_size,
            may_change=options.allow_account_change,
        )
        # A page with one task: the server's clock and the account must be known before anything else.
        first_page = source.fetch_page({}, page=1, limit=1)
        clock.observe(first_page)
        self.summary.pages += 1
        account.check(first_page)
        if account.is_changed:
            state = self._switch_account(state, clock, account)
        self._report(first_page)
        return self._build_parts(state, clock, account, seen, first_page)

    def _build_parts(
        self, state: SyncState, clock: SourceClock, account: Account, seen: SeenTasks, first_page: Page
    ) -> _Parts:
        """Build the other collaborators."""
        connection, source, settings, options = self._connection, self._source, self._settings, self._options
        covered = covered_until(state, clock, lookback=settings.lookback, now=self._now())
        sizes = state.page_sizes(settings.page_size, clock.observed_at())
        now = clock.first_served_at or self._now()
        semantics = DateFilterSemantics(source, first_page, state, forced=settings.date_filter, now=now)
        loader = BatchLoader(
            connection,
            self.summary,
            state,
            account=account,
            clock=clock,
            seen=seen,
            sizes=sizes,
            has_since=semantics.has_since,
        )
        reader = ListReader(connection, source, loader, sizes=sizes, report=self._report)
        return _Parts(
            state=state,
            clock=clock,
            account=account,
            semantics=semantics,
            loader=loader,
            reader=reader,
            plan=Plan(
                source,
                clock,
                semantics,
                state,
                settings=settings,
                options=options,
                covered=covered,
                first_page=first_page,
                now=now,
            ),
            audit=CountAudit(
                connection,
                source,
                loader,
                reader,
                state,
                first_page=first_page,
                audit_every=settings.audit_every,
            ),
        )

    def _switch_account(self, state: SyncState, clock: SourceClock, account: Account) -> SyncState:
        """
        Switch this copy permanently to the account of the key; commit, and return its state.

        All tasks of the old account are marked as removed. If the run ends here, the next one reads all tasks
        of the new account.
        """
        summary, connection = self.summary, self._connection
        with summary.uncounted_on_failure(), connection.begin():
            after = state_of_another_account(connection, state, account.client_ids)
            self._record.start_from(after, self._options)
            if summary.dry_run:
                return dataclasses.replace(after, present_tasks=state.present_tasks)
            observation = Observation(run_id=summary.run_id or 0, observed_at=clock.observed_at())
            summary.removed = mark_all_removed(connection, observation)
            write_state(connection, state, after)
            save_counters(connection, summary, mode=summary.mode, watermark_before=after.watermark)
        return after

    def _read(self, parts: _Parts) -> _ReadResult:
        """Read new tasks and tasks in flight, and then any tasks that the audit finds missing."""
        read, summary, is_partial = parts.plan.read(parts.reader), self.summary, bool(self._options.filters)
        audit, removed = AuditOutcome(is_complete=read.window.is_everything and not is_partial), []
        if not (audit.is_complete or is_partial):
            removed = parts.reader.read_in_flight()
            if not summary.dry_run:
                audit = parts.audit.check(read.window, removed=len(removed), has_new=bool(summary.inserted))
                if audit.contradicts_filter or read.is_filter_violated:
                    parts.semantics.probe_again()
            summary.audit = audit.text
        summary.date_filter = parts.semantics.value
        return _ReadResult(window=read.window, audit=audit, removed=tuple(removed))

    def _commit(self, parts: _Parts, read: _ReadResult) -> None:
        """Commit the marks on removed tasks and the watermark for the tasks read, in one transaction."""
        summary, connection, loader = self.summary, self._connection, parts.loader
        with connection.begin():
            missing = loader.seen.count_missing() if read.audit.is_complete else len(read.removed)
        state = parts.audit.updated_state(missing, is_complete=read.audit.is_complete)
        with summary.uncounted_on_failure(), connection.begin():
            self._remove(parts, read, missing)
            after = self._advance(parts, read, state)
            self._record.count()
            if not summary.dry_run:
                build_indexes(connection)
                write_state(connection, parts.state, after)
                save_counters(connection, summary)
        summary.watermark = after.watermark

    def _remove(self, parts: _Parts, read: _ReadResult, missing: int) -> None:
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

    def _advance(self, parts: _Parts, read: _ReadResult, state: SyncState) -> SyncState:
        is_complete, clock = read.audit.is_complete, parts.clock
        if is_complete or not self._options.filters:
            state = advance(
                state,
                clock,
                read.window,
                covered=covered_until(state, clock, lookback=self._settings.lookback, now=self._now()),
                is_complete=is_complete,
                now=self._now(),
            )
        return dataclasses.replace(
            state,
            date_filter=parts.semantics.found,
            date_filter_checked_at=parts.semantics.checked_at,
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
            self._settings,
            self._options,
            now=clock.observed_at,
            report=self._report_progress,
        )

    def _report(self, page: Page) -> None:
        self._report_progress(Progress("tasks", self.summary.tasks_seen, page.count))

    def _report_progress(self, progress: Progress) -> None:
        self._client.stop.check()
        self._record.count()
        self._observe(self.summary, progress)
