"""What a run works with, built from the source's first response."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

from etl.extract.date_filter import shows_since
from etl.sync.count_audit import CountAudit
from etl.sync.date_filter_semantics import CHECKED_EVERY
from etl.sync.list_reader import ListReader
from etl.sync.plan import Plan
from etl.sync.watermark import check_clock, read_until

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    import sqlalchemy as sa

    from etl.extract.client import Client
    from etl.extract.payload import Page
    from etl.settings import Settings
    from etl.sync.account import Account
    from etl.sync.batch import BatchLoader
    from etl.sync.clock import SourceClock
    from etl.sync.options import SyncOptions
    from etl.sync.state import SyncState


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunParts:
    """The collaborators of one run, and the state that it began with."""

    state: SyncState
    clock: SourceClock
    account: Account
    loader: BatchLoader
    reader: ListReader
    plan: Plan
    audit: CountAudit


def build_parts(  # noqa: PLR0913
    connection: sa.Connection,
    client: Client,
    settings: Settings,
    options: SyncOptions,
    *,
    state: SyncState,
    clock: SourceClock,
    account: Account,
    loader: BatchLoader,
    shown: Page,
    now: dt.datetime,
    report: Callable[[Page], None],
) -> RunParts:
    """
    Build a run's collaborators, and find out what `date_created` means, if that is not known.

    `shown` is the unfiltered page that the source has returned first; `report` is called after each page.
    """
    reader = ListReader(
        connection,
        client,
        loader,
        page_size=_page_size(settings, state, clock),
        granted=state.granted_page_size,
        report=report,
    )
    plan = Plan(
        client,
        state,
        settings,
        options,
        covered=read_until(state, clock, lookback=settings.lookback, now=now),
        shown=shown,
        now=clock.first_served_at or now,
    )
    if plan.semantics.value == "gte":
        loader.shows_since = functools.partial(shows_since, client)
    check_clock(client, clock, plan.semantics, may_change=not options.filters, now=now)
    audit = CountAudit(
        connection, client, loader, reader, state, shown=shown, audit_every=settings.audit_every
    )
    return RunParts(
        state=state, clock=clock, account=account, loader=loader, reader=reader, plan=plan, audit=audit
    )


def _page_size(settings: Settings, state: SyncState, clock: SourceClock) -> int:
    """Return the page size to request: at most what the server accepted, which is re-checked weekly."""
    size, checked_at = settings.page_size, state.date_filter_checked_at
    if checked_at is not None and clock.observed_at() - checked_at >= CHECKED_EVERY:
        return size
    return min(size, state.max_page_size or size)
