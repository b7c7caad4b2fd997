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
import logging
from typing import TYPE_CHECKING

from etl.errors import EtlError, Interrupted, MassRemoval
from etl.extract.pages import Walk
from etl.load.seen import count_present, mark_removed
from etl.sync.archive import iter_archived
from etl.sync.in_flight import FEW, is_gone, is_shown, iter_by_id, iter_open_lists, iter_unseen
from etl.sync.intake import Intake
from etl.sync.runs import close_killed_runs, close_run, open_run, save_counters
from etl.sync.summary import Progress, RunSummary, ignore_progress
from etl.sync.watermark import State, read_state, write_state
from etl.sync.window import EVERYTHING, Window, next_watermark, plan_window, window_since

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import sqlalchemy as sa

    from etl.extract.client import Client
    from etl.extract.payload import Page
    from etl.settings import Settings
    from etl.sync.options import SyncOptions
    from etl.sync.summary import Observer

logger = logging.getLogger(__name__)

# The verdict on `date_created` as long as nobody has found out.
ASSUMED_DATE_FILTER = "gte"
# More than this many at once, and more than this part of all, are doubted.
FEW_REMOVED, SMALL_PART = 50, 10


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
        self._granted: int | None = None
        self._gone: list[str] = []

    def execute(self) -> RunSummary:
        """
        Bring the database up to date with the source, as far as the options ask.

        Raises what stopped it, after the run's row says so; what was committed until then stays.
        """
        self._open()
        try:
            self._look()
            window = self._plan()
            self._read(window)
            self._commit(window)
            self._archive()
            self._close()
        except BaseException as error:
            self._fail(error)
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
                close_killed_runs(self._connection, summary.started_at)
                summary.run_id = open_run(self._connection, summary)
            self._intake = Intake(
                self._connection,
                summary,
                client_ids=self._state.client_ids,
                may_change_account=options.allow_account_change,
                now=self._now,
            )

    def _look(self) -> None:
        """Ask for one task, whichever: the server's clock and the account come before any decision."""
        page = self._client.fetch_page({}, page=1, limit=1)
        self._intake.look(page)
        self._report(page)

    def _plan(self) -> Window:
        """Choose what to read. The probe of `date_created` will have its say here."""
        verdict = self._settings.date_filter or self._state.date_filter or ASSUMED_DATE_FILTER
        self.summary.date_filter = verdict
        since = self._options.since
        if since is not None:
            return window_since(since) if verdict == "gte" else EVERYTHING
        if self.summary.mode != "incremental":
            return EVERYTHING
        return plan_window(
            self._state.watermark,
            lookback=self._settings.lookback,
            now=self._intake.first_served_at,
            verdict=verdict,
        )

    def _read(self, window: Window) -> None:
        self._intake.absent_at = window.start
        walk = Walk(
            self._client, {**window.filters, **self._options.filters}, page_size=self._settings.page_size
        )
        for page in walk:
            self._take(page)
        self._granted = walk.granted
        if not window.is_everything and not self._options.filters:
            self._intake.flush()
            self._intake.absent_at = None
            self._read_in_flight()

    def _read_in_flight(self) -> None:
        """Look again at what is stored as unfinished and was not among what this run has read."""
        with self._connection.begin():
            are_many = len(self._intake.seen.unseen_in_flight(FEW + 1)) > FEW
        if are_many:
            for page in iter_open_lists(self._client, page_size=self._settings.page_size):
                self._take(page)
            self._intake.flush()
        for task_id, answer in iter_by_id(self._client, self._iter_unseen()):
            if answer is not None and is_shown(task_id, answer):
                self._take(answer)
            elif is_gone(task_id, answer):
                self._gone.append(task_id)

    def _iter_unseen(self) -> Iterator[list[str]]:
        batches = iter_unseen(self._intake.seen)
        while True:
            with self._connection.begin():
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def _take(self, page: Page) -> None:
        self._intake.take(page)
        self._report(page)

    def _report(self, page: Page) -> None:
        self._count()
        self._observe(self.summary, Progress("tasks", self.summary.tasks_seen, page.count))

    def _commit(self, window: Window) -> None:
        """Commit the last rows, what is gone, and the watermark that covers them, all at once."""
        summary, connection = self.summary, self._connection
        is_complete = window.is_everything and not self._options.filters
        with connection.begin():
            self._intake.load()
            doubted = self._remove(is_complete=is_complete)
            if doubted is None:
                after = self._advance(window, is_complete=is_complete)
                summary.watermark = after.watermark
                if not summary.dry_run:
                    write_state(connection, self._state, after)
            self._count()
        if doubted is not None:
            raise doubted

    def _archive(self) -> None:
        """Fetch results, which are committed as they come: the tasks are safe by now."""
        if self.summary.dry_run or not self._options.with_results:
            return
        for done, due in iter_archived(
            self._connection,
            self._client,
            limit=self._settings.max_results,
            now=lambda: self._intake.sighting().observed_at,
            save=self._save_archived,
        ):
            self._count()
            self._observe(self.summary, Progress("results", done, due))

    def _save_archived(self, number: int) -> None:
        self.summary.results_archived += number
        self._count()
        save_counters(self._connection, self.summary)

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

    def _remove(self, *, is_complete: bool) -> MassRemoval | None:
        """Mark what this run proved to be gone; give the doubt instead, if it is suspiciously much."""
        seen, sighting = self._intake.seen, self._intake.sighting()
        missing = seen.count_missing() if is_complete else len(self._gone)
        if not missing:
            return None
        present = count_present(self._connection)
        is_suspicious = missing >= present or (missing > FEW_REMOVED and missing * SMALL_PART > present)
        if is_suspicious and not self._options.allow_mass_removal:
            return MassRemoval(missing, present)
        self.summary.removed = missing
        if not self.summary.dry_run:
            if is_complete:
                seen.mark_missing(sighting)
            else:
                mark_removed(self._connection, self._gone, sighting)
        return None

    def _advance(self, window: Window, *, is_complete: bool) -> State:
        """Say where the next run starts: further on, if this one read all since the old watermark."""
        state, intake = self._state, self._intake
        watermark = state.watermark
        is_joined = window.start is None or (watermark is not None and window.start <= watermark)
        if is_joined and not self._options.filters:
            watermark = next_watermark(watermark, served_at=intake.first_served_at, now=self._now())
        return dataclasses.replace(
            state,
            watermark=watermark,
            client_ids=intake.client_ids,
            granted_page_size=self._granted or state.granted_page_size,
            last_full_at=intake.sighting().observed_at if is_complete else state.last_full_at,
        )

    def _fail(self, error: BaseException) -> None:
        """Close the run as failed or interrupted, if the database still lets it."""
        summary = self.summary
        was_stopped = isinstance(error, (Interrupted, KeyboardInterrupt))
        summary.status = "interrupted" if was_stopped else "failed"
        summary.error = str(error) if isinstance(error, EtlError) else type(error).__name__
        self._count()
        self._client.stopping.set()
        # A connection that was lost took the lock with it: the next run closes this one.
        if summary.dry_run or self._connection.invalidated:
            return
        try:
            with self._connection.begin():
                close_run(self._connection, summary, self._now())
        except Exception as second:  # noqa: BLE001 - the first error is the one to report
            logger.warning("the run could not be closed: %s", type(second).__name__)
