"""
The count audit of one run: compares both counts, and reads more lists until missed tasks are found.

    difference = stored - reported - bias

`stored` is the number of present tasks and rejected records; `reported` is the API's `count` of the
unfiltered list. `bias` is the error of that count: the difference that a complete scan of an unchanged list
left unexplained. The remaining difference has two causes: the surplus, which is the number of tasks that
were deleted but are not marked as removed yet, increases it; missed tasks decrease it. So if it decreases
although no task was marked as removed, a task was missed.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

import sqlalchemy as sa

from etl.errors import NotFound, RequestRefused
from etl.load.rejected_records import count_rejected
from etl.models import OPEN_STATUSES, TASKS, TERMINAL_STATUSES
from etl.sync.summary import AUDIT_AGREES
from etl.text import counted

if TYPE_CHECKING:
    import datetime as dt

    from etl.extract.page_source import PageSource
    from etl.extract.payload import Page
    from etl.sync.batch import BatchLoader
    from etl.sync.list_reader import ListReader
    from etl.sync.state import SyncState
    from etl.sync.window import Window

logger = logging.getLogger(__name__)

# Tasks that arrive between reading and counting look like missed ones until both are repeated.
MAX_RECOUNTS = 3
# Removals are suspicious if there are more than this number, and more than one in this many tasks.
SUSPICIOUS_REMOVALS, SUSPICIOUS_FRACTION = 50, 10


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CountComparison:
    """Both counts at about the same time; `last_surplus` is what the last run left of its surplus."""

    stored: int
    reported: int
    bias: int
    last_surplus: int

    @property
    def difference(self) -> int:
        """The number of deleted tasks that are not marked as removed, minus the number of missed tasks."""
        return self.stored - self.reported - self.bias

    @property
    def missed(self) -> int:
        """The minimum number of tasks that the API has and the database lacks."""
        return max(0, self.last_surplus - self.difference)

    @property
    def surplus(self) -> int:
        """The minimum number of stored tasks that were deleted and are not marked as removed."""
        return max(0, self.difference)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AuditOutcome:
    """
    The outcome of the audit; `text` describes it, and is None without an audit.

    `is_complete` means that there was a complete scan. `contradicts_filter` means that the window and
    the tasks in flight did not include all new tasks, or that the window's list had tasks it should exclude.
    """

    text: str | None = None
    is_complete: bool = False
    contradicts_filter: bool = False


class CountAudit:
    """Finds tasks that one run has missed. `first_page` is that of the unfiltered list."""

    def __init__(  # noqa: PLR0913
        self,
        connection: sa.Connection,
        source: PageSource,
        loader: BatchLoader,
        reader: ListReader,
        state: SyncState,
        *,
        first_page: Page,
        audit_every: dt.timedelta,
    ) -> None:
        self._connection, self._source, self._loader = connection, source, loader
        self._reader, self._state = reader, state
        self._count, self._audit_every = _usable_count(first_page), audit_every
        self._bias, self._surplus = state.count_bias, state.surplus

    def check(self, window: Window, *, removed: int, has_new: bool) -> AuditOutcome:
        """
        Compare the counts after the window and the tasks in flight were read, and read missing tasks.

        `removed` is the number of tasks about to be marked as removed; `has_new` means that the run has
        inserted tasks.
        """
        if self._state.watermark is None:
            # The first sync, with --since: there is nothing that explains a difference.
            return self._scan_completely("no earlier sync was complete")
        if has_new:
            self._count = self._ask_count()
        if self._count is not None and self._surplus is None:
            return self._scan_completely("the last count was not usable")
        comparison, is_violated = self._compare(removed), False
        for _ in range(MAX_RECOUNTS):
            if comparison is None or not comparison.missed:
                break
            is_violated |= self._reader.read_window(window, {}).is_filter_violated
            self._count = self._ask_count()
            comparison = self._compare(removed)
        if comparison is None:
            outcome = self._scan_completely("the API returns no usable count")
        elif comparison.missed:
            outcome = self._read_missed(comparison, removed)
        elif self._is_complete_scan_due(comparison):
            outcome = self._scan_completely(f"{_tasks_were(comparison.surplus)} deleted")
        else:
            self._surplus = comparison.surplus
            unmarked = f"{comparison.surplus:,} deleted, left for a complete scan"
            outcome = AuditOutcome(text=unmarked if comparison.surplus else AUDIT_AGREES)
        is_contradicted = outcome.contradicts_filter or is_violated
        return dataclasses.replace(outcome, contradicts_filter=is_contradicted)

    def updated_state(self, removed: int, *, is_complete: bool) -> SyncState:
        """
        Return the state with the difference that a complete scan left unexplained.

        `removed` is the number of tasks about to be marked as removed. The difference shows that the API's
        count is wrong only if the list did not change meanwhile. Without a usable count, the surplus is
        unknown, so that the next usable count causes a complete scan, too.
        """
        if is_complete:
            before, self._count = self._count, self._ask_count()
            comparison = self._compare(removed)
            if comparison is not None and self._count == before:
                self._bias, self._surplus = self._bias + comparison.difference, 0
            else:
                self._surplus = None if comparison is None else comparison.surplus
            if self._bias and self._bias != self._state.count_bias:
                logger.warning("a complete scan shows that the API's count is off by %d", -self._bias)
        return dataclasses.replace(self._state, count_bias=self._bias, surplus=self._surplus)

    def _compare(self, removed: int) -> CountComparison | None:
        if self._count is None:
            return None
        return CountComparison(
            stored=self._stored(removed),
            reported=self._count,
            bias=self._bias,
            last_surplus=max(0, (self._surplus or 0) - removed),
        )

    def _stored(self, removed: int) -> int:
        with self._connection.begin():
            return self._loader.present - removed + count_rejected(self._connection)

    def _is_complete_scan_due(self, comparison: CountComparison) -> bool:
        """Return whether tasks were deleted and the complete scan that finds them is due."""
        last, now = self._state.last_full_at, self._loader.observation().observed_at
        return comparison.surplus > 0 and (last is None or now - last >= self._audit_every)

    def _read_missed(self, comparison: CountComparison, removed: int) -> AuditOutcome:
        """Read the lists of statuses with more tasks in the API; scan completely if that is not enough."""
        logger.warning("%s missed; reading more lists", _tasks_were(comparison.missed))
        query = sa.select(TASKS.c.status, sa.func.count()).where(TASKS.c.removed_at.is_(None))
        with self._connection.begin():
            stored = {row[0]: row[1] for row in self._connection.execute(query.group_by(TASKS.c.status))}
        for status in (*OPEN_STATUSES, *TERMINAL_STATUSES):
            reported = self._ask_count({"status": status})
            if reported is not None and reported > stored.get(status, 0):
                self._reader.read_list({"status": status})
        self._loader.flush()
        self._count = self._ask_count()
        after = self._compare(removed)
        if after is not None and not after.missed:
            self._surplus = after.surplus
            return AuditOutcome(
                text=f"{comparison.missed:,} missed, found by status", contradicts_filter=True
            )
        outcome = self._scan_completely(f"{_tasks_were(comparison.missed)} missed")
        return dataclasses.replace(outcome, contradicts_filter=True)

    def _scan_completely(self, reason: str) -> AuditOutcome:
        logger.info("complete scan: %s", reason)
        self._reader.read_list({})
        self._loader.flush()
        return AuditOutcome(text=f"{reason}, so there was a complete scan", is_complete=True)

    def _ask_count(self, filters: dict[str, str] | None = None) -> int | None:
        try:
            page: Page = self._source.fetch_page(filters or {}, page=1, limit=1)
        except NotFound:
            # Some servers return 404 for an empty list.
            return 0 if filters else None
        except RequestRefused:
            return None
        self._loader.observe(page)
        return _usable_count(page)


def _tasks_were(number: int) -> str:
    return counted(number, "task was", plural="tasks were")


def _usable_count(page: Page) -> int | None:
    """Return the count of a page; None if the page itself shows more tasks."""
    return page.count if page.count is not None and page.count >= len(set(page.keys)) else None


def is_suspicious(removed: int, present: int) -> bool:
    """Return whether so many present tasks would be removed that their deletion is implausible."""
    return removed >= present or (removed > SUSPICIOUS_REMOVALS and removed * SUSPICIOUS_FRACTION > present)
