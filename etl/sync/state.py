"""The row of `sync_state`: read as a whole; only changes are written."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from etl.extract.page_size import PageSizes
from etl.load.rejected_records import count_rejected
from etl.models import STATE
from etl.sync.date_filter_semantics import CHECKED_EVERY

if TYPE_CHECKING:
    import datetime as dt

# Stored if the surplus is None, because the column is not nullable.
_UNKNOWN_SURPLUS = -1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SyncState:
    """What earlier runs recorded for the next one; `surplus` is None if the last count was not usable."""

    watermark: dt.datetime | None = None
    date_filter: str | None = None
    date_filter_checked_at: dt.datetime | None = None
    watermark_set_at: dt.datetime | None = None
    granted_page_size: int | None = None
    max_page_size: int | None = None
    client_ids: frozenset[int] = frozenset()
    last_full_at: dt.datetime | None = None
    present_tasks: int = 0
    count_bias: int = 0
    surplus: int | None = 0

    def page_sizes(self, requested: int, now: dt.datetime) -> PageSizes:
        """Return the page sizes; the requested one is at most what the server accepts, re-checked weekly."""
        checked_at = self.date_filter_checked_at
        is_due = checked_at is not None and now - checked_at >= CHECKED_EVERY
        most = requested if is_due else self.max_page_size or requested
        return PageSizes(min(requested, most), self.granted_page_size)


def read_state(connection: sa.Connection) -> SyncState:
    """Return the stored state."""
    columns = [STATE.c[field.name] for field in dataclasses.fields(SyncState)]
    row = connection.execute(sa.select(*columns)).mappings().one_or_none()
    if row is None:
        return SyncState()
    surplus = None if row["surplus"] < 0 else row["surplus"]
    return SyncState(**{**row, "client_ids": frozenset(row["client_ids"] or ()), "surplus": surplus})


def write_state(connection: sa.Connection, before: SyncState, after: SyncState) -> None:
    """Store the columns that changed."""
    changes: dict[str, Any] = {
        field.name: getattr(after, field.name)
        for field in dataclasses.fields(SyncState)
        if getattr(after, field.name) != getattr(before, field.name)
    }
    if "client_ids" in changes:
        changes["client_ids"] = sorted(after.client_ids)
    if "surplus" in changes and after.surplus is None:
        changes["surplus"] = _UNKNOWN_SURPLUS
    if changes:
        save_values(connection, **changes)


def state_of_another_account(
    connection: sa.Connection, state: SyncState, client_ids: frozenset[int]
) -> SyncState:
    """
    Return the state of a copy that has stored nothing of this account yet.

    Rejected records stay, and belong to the old account: the count audit subtracts them.
    """
    return SyncState(
        client_ids=client_ids,
        granted_page_size=state.granted_page_size,
        max_page_size=state.max_page_size,
        count_bias=count_rejected(connection),
    )


def save_values(connection: sa.Connection, **values: object) -> None:
    """Store values now, in the transaction of what they describe."""
    connection.execute(sa.update(STATE).values(values))


def add_present(connection: sa.Connection, number: int) -> None:
    """Add to the number of present tasks, in the transaction that stores or removes them."""
    if number:
        save_values(connection, present_tasks=STATE.c.present_tasks + number)
