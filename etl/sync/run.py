"""
One run: read, load, commit; at the end, advance.

What if it dies here? The run's row is committed before the first request. Each batch of pages is committed
with the run's counters. The watermark and the marks on removed tasks share a transaction with the last rows:
before it, the next run starts where this one did; after it, only results are missing, and each batch of them
is committed by itself. A run that was not closed is closed by the next.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import logging
from typing import TYPE_CHECKING

from etl.errors import Interrupted, MassRemoval, SourceError
from etl.extract.date_filter import shows_since
from etl.load.indexes import build_indexes
from etl.load.seen import mark_all_removed, mark_removed, newest_start
from etl.load.task_rows import Sighting
from etl.load.transform import CLOCK_GRAIN
from etl.sync.account import Account
from etl.sync.archive import archive_results
from etl.sync.audit import Audit
from etl.sync.balance import is_suspicious
from etl.sync.clock import TOLERATED_DRIFT, SourceClock
from etl.sync.failure import cause_of, line_about
from etl.sync.intake import Intake
from etl.sync.lock import abandon_transaction
from etl.sync.plan import Plan
from etl.sync.reading import Reader
from etl.sync.runs import close_killed_runs, close_run, open_run, save_counters
from etl.sync.summary import Progress, RunSummary, ignore_progress
from etl.sync.verdict import CHECKED_EVERY
from etl.sync.watermark import State, read_state, state_of_another_account, write_state
from etl.sync.window import covered_until, next_watermark

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy as sa

    from etl.extract.client import Client
    from etl.extract.payload import Page
    from etl.settings import Settings
    from etl.sync.options import SyncOptions
    from etl.sync.summary import Observer
    from etl.sync.window import Window

logger = logging.getLogger(__name__)


def utc_now() -> dt.datetime:
    """Give this machine's time."""
    return dt.datetime.now(dt.UTC)


class Run:
    """
    One execution over a connection that nobody else writes through; use it once.

    `observe` is called after each page, and after each result, with the summary so far and how far it is.
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
        self._requests_before = client.requests

    def execute(self) -> RunSummary:
        """
        Bring the database up to date with the source, as far as the options ask.

        Raises what stopped it, after the run's row says so; what was committed until then stays.
        """
        try:
            self._open()
            self._look()
            self._commit(self._read())
            self._archive()
            self._close()
        except BaseException as error:
            cause = cause_of(error)
            self._fail(cause)
            if cause is not error:
                raise cause from error
            raise
        return self.summary

    def _open(self) -> None:
        summary, options = self.summary, self._options
        with self._connection.begin():
            self._state = read_state(self._connection)
            summary.started_at = self._now()
            summary.mode = options.mode(is_first=self._state.watermark is None)
            summary.watermark_before = summary.watermark = self._state.watermark
            summary.dry_run = options.is_dry
            if not options.is_dry:
                build_indexes(self._connection)
                close_killed_runs(self._connection, summary.started_at)
                summary.run_id = open_run(self._connection, summary)
            self._clock = SourceClock(self._now, newest=newest_start(self._connection))
            self._account = Account(
                self._connection,
                self._client,
                self._state.client_ids,
                has_tasks=bool(self._state.present_tasks),
                page_size=self._state.max_page_size or self._settings.page_size,
                may_change=options.allow_account_change,
            )
            self._intake = Intake(
                self._connection,
                summary,
                account=self._account,
                clock=self._clock,
                present=self._state.present_tasks,
            )

    def _page_size(self) -> int:
        """Return how many tasks to ask for: no more than the server accepted, which is tried now and then."""
        size, checked_at = self._settings.page_size, self._state.date_filter_checked_at
        if checked_at is not None and self._clock.observed_at() - checked_at >= CHECKED_EVERY:
            return size
        return min(size, self._state.max_page_size or size)

    def _look(self) -> None:
        """Ask for one task, whichever: the server's clock and the account come before any decision."""
        page = self._client.fetch_page({}, page=1, limit=1)
        self._intake.look(page)
        if self._account.is_changed:
            self._switch_account()
        self._reader = Reader(
            self._connection,
            self._client,
            self._intake,
            page_size=self._page_size(),
            granted=self._state.granted_page_size,
            report=self._report,
        )
        self._report(page)
        served_at = self._clock.first_served_at
        self._plan = Plan(
            self._client,
            self._state,
            self._settings,
            self._options,
            covered=self._covered_until(served_at),
            shown=page,
            now=served_at or self._now(),
        )
        self._check_clock()
        self._audit = Audit(
            self._connection,
            self._client,
            self._intake,
            self._reader,
            self._state,
            shown=page,
            audit_every=self._settings.audit_every,
        )

    def _switch_account(self) -> None:
        """
        Make this the copy of the account that the key belongs to, for good, and commit.

        All tasks of the old account are marked as removed. If the run ends here, the next one reads all of
        the new account.
        """
        self.summary.mode = self._options.mode(is_first=True)
        connection, before = self._connection, self._state
        with connection.begin():
            self._state = state_of_another_account(connection, before, self._account.client_ids)
            if self.summary.dry_run:
                return
            sighting = Sighting(run_id=self.summary.run_id or 0, observed_at=self._clock.observed_at())
            self.summary.removed = mark_all_removed(connection, sighting)
            self._intake.present = 0
            write_state(connection, before, self._state)
            save_counters(connection, self.summary)

    def _covered_until(self, served_at: dt.datetime | None) -> dt.datetime | None:
        """Return the time before which everything is stored, by the clock of the run's first answer."""
        state, started_at = self._state, self._clock.started_at or self._now()
        if state.watermark is None:
            return None
        return covered_until(
            state.watermark,
            state.watermark_set_at,
            served_at=served_at,
            now=started_at,
            tolerance=min(TOLERATED_DRIFT, self._settings.lookback),
        )

    def _check_clock(self) -> None:
        """Let the filter confirm the clock, where it can; one that shows tasks of the future is suspect."""
        served_at, verdict = self._clock.first_served_at, self._plan.verdict
        if verdict.value in {None, "unknown"}:
            self._clock.doubt()
        elif verdict.value == "gte":
            self._intake.shows_since = functools.partial(shows_since, self._client)
            if self._options.filters:
                return
            if served_at is None or shows_since(self._client, served_at + CLOCK_GRAIN):
                verdict.suspect(served_at or self._now())

    def _read(self) -> Window:
        """Read what is new, and what turned out to be missing; give the window that was read."""
        window = self._plan.read(self._reader)
        if window.is_everything:
            self._audit.is_complete = not self._options.filters
        elif not self._options.filters:
            self._reader.read_in_flight()
            if not self.summary.dry_run:
                self._audit.settle(window, has_new=bool(self.summary.inserted))
                if self._audit.has_missed or self._intake.is_contradicted:
                    self._plan.recheck()
            self.summary.audit = self._audit.outcome
        self.summary.date_filter = self._plan.verdict.value
        return window

    def _report(self, page: Page) -> None:
        self._report_progress(Progress("tasks", self.summary.tasks_seen, page.count))

    def _commit(self, window: Window) -> None:
        """Commit what is gone, and the watermark that covers what was read, at once."""
        summary, connection = self.summary, self._connection
        with connection.begin():
            is_complete = self._audit.is_complete
            missing = self._intake.seen.count_missing() if is_complete else len(self._reader.gone)
        state = self._audit.close(missing)
        with summary.uncounted_on_failure(), connection.begin():
            self._remove(missing)
            after = self._advance(window, state)
            self._count()
            if not summary.dry_run:
                build_indexes(connection)
                write_state(connection, self._state, after)
                save_counters(connection, summary)
        summary.watermark = after.watermark

    def _archive(self) -> None:
        """Fetch results, which are committed as they come: the tasks are safe by now."""
        if self.summary.dry_run or not self._options.with_results:
            return
        archive_results(
            self._connection,
            self._client,
            self.summary,
            max_results=self._settings.max_results,
            asks_for_all=self._options.is_full,
            patience=self._settings.retry_for,
            next_run_in=self._options.next_run_in,
            now=self._clock.observed_at,
            report=self._report_progress,
        )

    def _report_progress(self, progress: Progress) -> None:
        self._count()
        self._observe(self.summary, progress)

    def _close(self) -> None:
        self._count()
        self.summary.status = "succeeded"
        if not self.summary.dry_run:
            with self._connection.begin():
                close_run(self._connection, self.summary, self._now())

    def _count(self) -> None:
        started_at = self.summary.started_at
        self.summary.requests = self._client.requests - self._requests_before
        if started_at is not None:
            self.summary.duration_seconds = round((self._now() - started_at).total_seconds(), 3)

    def _remove(self, missing: int) -> None:
        """Mark what this run proved to be gone, or raise MassRemoval if that is suspiciously much."""
        if not missing:
            return
        present = self._intake.present
        is_allowed = self._options.allow_mass_removal or self._account.is_changed
        if is_suspicious(missing, present) and not is_allowed:
            raise MassRemoval(missing, present)
        self.summary.removed += missing
        self._intake.add_present(-missing)
        if self.summary.dry_run:
            return
        if self._audit.is_complete:
            self._intake.seen.mark_missing(self._intake.sighting())
        else:
            mark_removed(self._connection, self._reader.gone, self._intake.sighting())

    def _advance(self, window: Window, state: State) -> State:
        """Say where the next run starts: further on, if this one read all since the old watermark."""
        watermark, set_at, clock = state.watermark, state.watermark_set_at, self._clock
        served_at = clock.first_served_at
        covered = self._covered_until(served_at)
        is_joined = covered is not None and window.start is not None and window.start <= covered
        if self._audit.is_complete or (is_joined and not self._options.filters):
            # Only the server's clock can show that the last watermark was ahead of it.
            before = covered if served_at is not None else state.watermark
            watermark = next_watermark(before, served_at=served_at, now=self._now(), newest=clock.newest)
            # Where no clock of the server's told it, this machine's did.
            is_told = watermark == served_at
            set_at = clock.started_at if is_told else watermark if watermark != before else set_at
        return dataclasses.replace(
            state,
            watermark=watermark,
            watermark_set_at=set_at,
            date_filter=self._plan.verdict.found,
            date_filter_checked_at=self._plan.verdict.checked_at,
            client_ids=self._account.client_ids,
            present_tasks=self._intake.present,
            granted_page_size=self._reader.granted,
            last_full_at=self._clock.observed_at() if self._audit.is_complete else state.last_full_at,
        )

    def _fail(self, error: BaseException) -> None:
        """Close the run as failed or interrupted, if the database still lets it."""
        summary = self.summary
        was_stopped = isinstance(error, (Interrupted, KeyboardInterrupt))
        summary.status = "interrupted" if was_stopped else "failed"
        summary.error = line_about(error)
        self._count()
        self._client.stopping.set()
        # A connection that was lost took the lock with it: the next run closes this one.
        if summary.dry_run or summary.run_id is None or self._connection.invalidated:
            return
        try:
            try:
                self._write_end(error)
            except (Interrupted, KeyboardInterrupt):
                # A signal came just then: the run ends anyway, but not without a word.
                self._write_end(error)
        except Exception as second:  # noqa: BLE001 - the first error is the one to report
            logger.warning("the run could not be closed: %s", type(second).__name__)

    def _write_end(self, error: BaseException) -> None:
        abandon_transaction(self._connection)
        # Whoever interrupts does not want to wait for one more batch.
        if isinstance(error, SourceError):
            self._intake.shows_since = None
            self._clock.doubt()
            self._intake.flush()
        with self._connection.begin():
            if isinstance(error, SourceError):
                build_indexes(self._connection)
            close_run(self._connection, self.summary, self._now())
