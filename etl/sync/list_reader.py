"""What one run asks of the API, and in which order; what the answers prove is decided elsewhere."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from etl.errors import RequestRefused
from etl.extract.complete_scan import CompleteScan
from etl.extract.paginator import Paginator
from etl.load.stored_tasks import read_state
from etl.load.upsert import are_stored
from etl.models import TERMINAL_STATUSES
from etl.sync.in_flight import (
    FEW,
    OPEN_STATUSES,
    WAITING_STATUSES,
    is_gone,
    is_shown,
    iter_by_id,
    iter_unseen,
)
from etl.sync.state import save_max_page_size

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import sqlalchemy as sa

    from etl.extract.payload import Page
    from etl.sync.batch import BatchLoader
    from etl.sync.in_flight import TaskSource
    from etl.sync.window import Window

logger = logging.getLogger(__name__)

# So many pages in a row without anything new mean that what follows is known too.
QUIET_PAGES = 2


class ListReader:
    """
    Reads lists into a batch loader. `report` is called after each page.

    `gone` are the tasks whose absence the list stated, asked for one by one; `granted` is the page size that
    the server turned out to grant, or did in earlier runs. A smaller `page_size`, because the server refused
    a larger one, is remembered for the next runs.
    """

    def __init__(  # noqa: PLR0913
        self,
        connection: sa.Connection,
        source: TaskSource,
        loader: BatchLoader,
        *,
        page_size: int,
        granted: int | None,
        report: Callable[[Page], None],
    ) -> None:
        self.gone: list[str] = []
        self.granted = granted
        self._connection, self._source, self._loader = connection, source, loader
        self._page_size, self._report = page_size, report

    def read_window(self, window: Window, filters: Mapping[str, str]) -> bool:
        """Load what the window asks for, narrowed by the run's own filters; give whether there was any."""
        before = self._loader.tasks_read
        for part in window.queries:
            self._loader.set_created_after(part.created_after)
            self.read_list({**part.filters, **filters})
        self._loader.set_created_after(None)
        if not window.queries and window.start is not None:
            # What starts meanwhile is at the head by then.
            self._read_lists(WAITING_STATUSES)
            self._read_head(window.start)
        self._loader.flush()
        return self._loader.tasks_read > before

    def read_list(self, filters: Mapping[str, str]) -> None:
        """Read one list whole."""
        scan = CompleteScan(self._source, filters, page_size=self._page_size, granted=self.granted)
        self._take(scan)
        self._learn(scan)

    def _learn(self, source: CompleteScan | Paginator) -> None:
        """Remember the page sizes that the server granted, and refused."""
        self.granted = source.granted
        if source.max_page_size is None:
            return
        self._page_size = source.max_page_size
        if not self._loader.dry_run:
            with self._connection.begin():
                save_max_page_size(self._connection, source.max_page_size)

    def read_in_flight(self) -> None:
        """Look again at what is stored as unfinished and was not among what this run has read."""
        with self._connection.begin():
            are_many = len(self._loader.seen.unseen_in_flight(FEW + 1)) > FEW
        if are_many:
            self._read_lists(OPEN_STATUSES)
            self._loader.flush()
        for task_id, answer in iter_by_id(self._source, self._iter_unseen()):
            if answer is not None and is_shown(task_id, answer):
                if not answer.is_detail or self._is_in_another_state(answer):
                    self._take([answer])
            elif is_gone(task_id, answer):
                self.gone.append(task_id)
        self._loader.flush()

    def _is_in_another_state(self, answer: Page) -> bool:
        """Tell whether the task moved on: only then it is stored as its own page shows it."""
        with self._connection.begin():
            return any(
                read_state(self._connection, task.task_id) != (task.status, task.progress)
                for task in answer.tasks
            )

    def _read_lists(self, statuses: Iterable[str]) -> None:
        """Read the lists of some statuses; one that the server refuses is passed over."""
        for status in statuses:
            try:
                self.read_list({"status": status})
            except RequestRefused as error:
                logger.warning(
                    "the list of %s tasks was refused (%s); they are asked for by id", status, error
                )

    def _read_head(self, start: dt.datetime) -> None:
        """
        Read the default order, newest start first, until two pages in a row show nothing to be learned.

        Tasks that ended before they started, in whichever way, may stand before all others, or behind. A page
        of nothing else says nothing about what follows.
        """
        quiet = 0
        walk = Paginator(self._source, {}, page_size=self._page_size, granted=self.granted, is_by_id=False)
        for page in walk:
            if not self._is_quiet(page, start):
                quiet = 0
            elif any(task.started_at is not None for task in page.tasks):
                quiet += 1
            self._take([page])
            if quiet == QUIET_PAGES:
                break
        self._learn(walk)

    def _is_quiet(self, page: Page, start: dt.datetime) -> bool:
        """Tell whether everything here is known, final and unchanged, and not newer than `start`."""
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
        batches = iter_unseen(self._loader.seen)
        while True:
            with self._connection.begin():
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def _take(self, pages: Iterable[Page]) -> None:
        for page in pages:
            self._loader.add(page)
            self._report(page)
