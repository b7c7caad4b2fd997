"""Reads the lists that the plan has chosen, and the tasks in flight, into a batch loader."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

import sqlalchemy as sa

from etl.errors import RequestRefused
from etl.extract.complete_scan import complete_scan
from etl.extract.page_source import ListSource
from etl.extract.paginator import Paginator
from etl.load.dialect import is_any_of
from etl.load.upsert import are_stored
from etl.models import OPEN_STATUSES, TASKS, TERMINAL_STATUSES, WAITING_STATUSES
from etl.sync.early_requests import ListRequest
from etl.sync.in_flight import BATCH, MAX_BY_ID, is_removed, is_shown, iter_by_id

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from etl.extract.page_size import PageSizes
    from etl.extract.payload import Page
    from etl.sync.batch import BatchLoader
    from etl.sync.in_flight import TaskSource
    from etl.sync.window import Window

logger = logging.getLogger(__name__)

# The default order is read until this many consecutive pages have neither new tasks nor changes.
QUIET_PAGES = 2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WindowResult:
    """A window that was read, and whether its lists had any tasks, or one that the filter should exclude."""

    window: Window
    has_tasks: bool
    is_filter_violated: bool


class ListReader:
    """Reads lists into a batch loader. `report` is called after each page."""

    def __init__(
        self,
        connection: sa.Connection,
        source: TaskSource,
        loader: BatchLoader,
        *,
        sizes: PageSizes,
        report: Callable[[Page], None],
    ) -> None:
        self._connection, self._source, self._loader = connection, source, loader
        self._sizes, self._report = sizes, report

    def expected_requests(self, window: Window, filters: Mapping[str, str]) -> list[ListRequest]:
        """Return the first request of `read_window`."""
        lists = [{"ordering": "task_id", **query.filters, **filters} for query in window.queries[:1]]
        return [ListRequest(each, limit=self._sizes.requested) for each in lists]

    def read_window(self, window: Window, filters: Mapping[str, str]) -> WindowResult:
        """Load the lists of a window, narrowed by the run's own filters."""
        before = self._loader.summary.tasks_seen
        is_within = [
            self.read_list({**query.filters, **filters}, query.created_after) for query in window.queries
        ]
        if not window.queries and window.start is not None:
            # In this order: a task that starts meanwhile is then found at the head.
            self._read_lists(WAITING_STATUSES)
            self._read_head(window.start)
        self._loader.flush()
        has_tasks = self._loader.summary.tasks_seen > before
        return WindowResult(window=window, has_tasks=has_tasks, is_filter_violated=not all(is_within))

    def read_list(self, filters: Mapping[str, str], created_after: dt.datetime | None = None) -> bool:
        """Read one complete list; return False if it contains a task created before `created_after`."""
        is_within = True
        for page in complete_scan(self._source, filters, self._sizes):
            is_within &= self._add(page, created_after if is_within else None)
        return is_within

    def read_in_flight(self) -> list[str]:
        """
        Read the stored tasks in flight again that were not in the lists of this run.

        Return the ids of tasks that were deleted, as proved by the list filtered by their id.
        """
        with self._connection.begin():
            has_many = len(self._loader.seen.unseen_in_flight(MAX_BY_ID + 1)) > MAX_BY_ID
        if has_many:
            self._read_lists(OPEN_STATUSES)
            self._loader.flush()
        removed = []
        for task_id, response in iter_by_id(self._source, self._iter_unseen()):
            if response is not None and is_shown(task_id, response):
                if not response.is_detail or self._is_in_another_state(response):
                    self._add(response)
            elif is_removed(task_id, response):
                removed.append(task_id)
        self._loader.flush()
        return removed

    def _is_in_another_state(self, response: Page) -> bool:
        """Return whether the task has changed its state; only then is the response stored."""
        query = sa.select(TASKS.c.task_id, TASKS.c.status, TASKS.c.progress)
        query = query.where(is_any_of(self._connection, TASKS.c.task_id, response.ids))
        with self._connection.begin():
            stored = set(map(tuple, self._connection.execute(query)))
        return stored != {(task.task_id, task.status, task.progress) for task in response.tasks}

    def _read_lists(self, statuses: Iterable[str]) -> None:
        """Read the lists of these statuses, except those that the server refuses."""
        for status in statuses:
            try:
                self.read_list({"status": status})
            except RequestRefused as error:
                logger.warning(
                    "the API refused the list of %s tasks (%s); they are requested by id", status, error
                )

    def _read_head(self, start: dt.datetime) -> None:
        """
        Read the default order, newest start first, until two pages in a row have no new tasks or changes.

        Tasks that never started may be listed before or after all others. A page that contains only such
        tasks does not count as one of the two.
        """
        quiet = 0
        for page in Paginator(ListSource(self._source, {}), self._sizes):
            if not self._is_quiet(page, start):
                quiet = 0
            elif any(task.started_at is not None for task in page.tasks):
                quiet += 1
            self._add(page)
            if quiet == QUIET_PAGES:
                break

    def _is_quiet(self, page: Page, start: dt.datetime) -> bool:
        """Return whether all tasks of a page are known, terminal, unchanged and not newer than `start`."""
        payloads = page.tasks
        if len(payloads) < len(page.records):
            return False
        for payload in payloads:
            is_recent = payload.started_at is not None and payload.started_at >= start
            if is_recent or payload.status not in TERMINAL_STATUSES:
                return False
        with self._connection.begin():
            return are_stored(self._connection, payloads)

    def _iter_unseen(self) -> Iterator[list[str]]:
        """Yield the stored tasks in flight that the run has not seen, a batch at a time."""
        after = ""
        while True:
            with self._connection.begin():
                batch = self._loader.seen.unseen_in_flight(BATCH, after)
            if not batch:
                return
            yield batch
            after = batch[-1]

    def _add(self, page: Page, created_after: dt.datetime | None = None) -> bool:
        is_within = self._loader.add(page, created_after)
        self._report(page)
        return is_within
