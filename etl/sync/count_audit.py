"""The count audit of one run: compare both sides, and read on until what was missed is found."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING

from etl.errors import NotFound, RequestRefused
from etl.load.rejected_records import count_rejected
from etl.load.stored_tasks import count_by_status
from etl.models import TERMINAL_STATUSES
from etl.sync.count_balance import CountBalance, is_full_read_due
from etl.sync.in_flight import OPEN_STATUSES

if TYPE_CHECKING:
    import datetime as dt

    import sqlalchemy as sa

    from etl.extract.client import Client
    from etl.extract.payload import Page
    from etl.sync.batch import BatchLoader
    from etl.sync.list_reader import ListReader
    from etl.sync.state import SyncState
    from etl.sync.window import Window

logger = logging.getLogger(__name__)

# Tasks that arrive between reading and counting look like missed ones, until both are done once more.
MAX_RECOUNTS = 3


class CountAudit:
    """
    Settles what one run may have missed. `is_complete` says whether everything was read, with proof.

    `has_missed` whether the window and the unfinished tasks were not all; `outcome` says how it went. `shown`
    is an unfiltered page.
    """

    def __init__(  # noqa: PLR0913
        self,
        connection: sa.Connection,
        client: Client,
        loader: BatchLoader,
        reader: ListReader,
        state: SyncState,
        *,
        shown: Page,
        audit_every: dt.timedelta,
    ) -> None:
        self.is_complete = False
        self.has_missed = False
        self.outcome: str | None = None
        self._connection, self._client, self._loader = connection, client, loader
        self._reader, self._state = reader, state
        self._count, self._audit_every = _usable_count(shown), audit_every
        self._bias, self._surplus = state.count_bias, state.surplus

    def settle(self, window: Window, *, has_new: bool) -> None:
        """Compare the counts, once the window and the unfinished tasks are read; `has_new`: tasks came in."""
        if has_new:
            self._count = self._ask_count()
        balance = self._balance()
        for _ in range(MAX_RECOUNTS):
            if balance is None or not balance.missed:
                break
            self._reader.read_window(window, {})
            self._count = self._ask_count()
            balance = self._balance()
        if balance is None:
            self._read_everything("the API gives no usable count")
        elif balance.missed:
            self._read_missed(balance)
        elif self._is_full_read_due(balance):
            self._read_everything(f"{balance.deleted:,} tasks are gone at the source")
        else:
            self._surplus = balance.deleted
            self.outcome = (
                f"{balance.deleted:,} deleted, waiting for a full read" if balance.deleted else "agrees"
            )

    def close(self, missing: int) -> SyncState:
        """
        Give the state with what a complete read left unexplained; `missing` tasks are about to be marked.

        Only over a source that held still does it mean that the count is wrong. Where there is no usable
        count, as much is left unexplained as can be: the next one that is usable is read after, too.
        """
        if self.is_complete:
            before, self._count = self._count, self._ask_count()
            balance = self._balance(missing)
            if balance is not None and self._count == before:
                self._bias, self._surplus = self._bias + balance.difference, 0
            elif balance is not None:
                self._surplus = balance.deleted
            else:
                self._surplus = self._here(missing) - self._bias
            if self._bias and self._bias != self._state.count_bias:
                logger.warning("a complete read shows that the API's count is off by %d", -self._bias)
        return dataclasses.replace(self._state, count_bias=self._bias, surplus=self._surplus)

    def _balance(self, missing: int | None = None) -> CountBalance | None:
        if self._count is None:
            return None
        gone = len(self._reader.gone) if missing is None else missing
        surplus = max(0, self._surplus - gone)
        return CountBalance(here=self._here(gone), there=self._count, bias=self._bias, surplus=surplus)

    def _here(self, gone: int) -> int:
        with self._connection.begin():
            return self._loader.present - gone + count_rejected(self._connection)

    def _is_full_read_due(self, balance: CountBalance) -> bool:
        now = self._loader.observation().observed_at
        return is_full_read_due(balance, self._state, now=now, audit_every=self._audit_every)

    def _read_missed(self, balance: CountBalance) -> None:
        """Read the lists of the statuses of which the source has more; if that is not all, everything."""
        self.has_missed = True
        logger.warning("%d tasks of the source are missing here; reading on", balance.missed)
        with self._connection.begin():
            here = count_by_status(self._connection)
        for status in (*OPEN_STATUSES, *TERMINAL_STATUSES):
            there = self._ask_count({"status": status})
            if there is not None and there > here.get(status, 0):
                self._reader.read_list({"status": status})
        self._loader.flush()
        self._count = self._ask_count()
        settled = self._balance()
        if settled is not None and not settled.missed:
            self._surplus = settled.deleted
            self.outcome = f"{balance.missed:,} missed, found by status"
        else:
            self._read_everything(f"{balance.missed:,} tasks were missed")

    def _read_everything(self, reason: str) -> None:
        logger.info("full read: %s", reason)
        self._reader.read_list({})
        self._loader.flush()
        self.is_complete = True
        self.outcome = f"{reason}; settled by a full read"

    def _ask_count(self, filters: dict[str, str] | None = None) -> int | None:
        try:
            page: Page = self._client.fetch_page(filters or {}, page=1, limit=1)
        except NotFound:
            # Some servers have no empty lists.
            return 0 if filters else None
        except RequestRefused:
            return None
        self._loader.observe(page)
        return _usable_count(page)


def _usable_count(page: Page) -> int | None:
    """Give the count of a page; None if the page itself shows more than that."""
    return page.count if page.count is not None and page.count >= len(set(page.keys)) else None
