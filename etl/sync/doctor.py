"""Checks of everything a sync needs, each with what it found and how to mend it."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING

from etl.database import check, connected, ensure_schema, file_of, reading
from etl.database.trial import try_creating, try_writing
from etl.errors import (
    AccountChanged,
    ConfigurationError,
    DatabaseError,
    EtlError,
    NoTablesError,
    SchemaOutdatedError,
    SyncRunning,
)
from etl.extract.date_filter import probe_date_filter
from etl.extract.page_size import largest_page
from etl.load.indexes import missing_indexes
from etl.settings import format_duration, hint_at_other_names, is_well_formed
from etl.sync.account import Account
from etl.sync.api import make_client, writing
from etl.sync.clock import MAX_UNCONFIRMED_SKEW
from etl.sync.expiry_forecast import read_forecast
from etl.sync.rehearsal import rehearse
from etl.sync.state import read_state

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from etl.extract.client import Client
    from etl.extract.payload import Page
    from etl.settings import Settings
    from etl.sync.expiry_forecast import Forecast

# The watermark is the server's time; a clock that is further off is worth a word, and no failure.
TOLERATED_SKEW = dt.timedelta(minutes=1)
_WRITABLE = "it can be opened, locked and written, and there is a place for temporary files"
_UNINDEXED = ", but a first load was cut short: the next sync builds the indexes that wait for its end"

MEANINGS = {
    "gte": "'gte', created at or after: a sync asks for what is newer than the last one",
    "lte": "'lte', created at or before: of no use, a sync reads the newest first instead",
    "day": "'day', created on that day: a sync asks day by day",
    "exact": "'exact', created exactly then: of no use, a sync reads the newest first instead",
    "ignored": "'ignored': a sync reads the newest first instead",
    "rejected": "'rejected': a sync reads the newest first instead",
    "unknown": "'unknown' until a sync of an account with tasks has found out",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One check's outcome; a failed one has the exit code that a sync would end with."""

    name: str
    is_good: bool
    detail: str
    exit_code: int = 0


def examine(settings: Settings, *, now: Callable[[], dt.datetime]) -> Iterator[Finding]:
    """Check the key, the API, the clock, the account, the database, its schema, and `date_created`."""
    found = yield from _examine_source(settings, now)
    stored = yield from _examine_database(settings, now)
    yield _examine_date_filter(settings, found, stored)


def _examine_source(
    settings: Settings, now: Callable[[], dt.datetime]
) -> Generator[Finding, None, str | None]:
    """Give what `date_created` turns out to mean, None where the API cannot be asked."""
    try:
        settings.require_api_key()
    except EtlError as error:
        yield _failure("key", error)
        return None
    yield _examine_key(settings)
    try:
        with make_client(settings) as client:
            yield Finding("network", is_good=True, detail=f"{client.route}{hint_at_other_names()}")
            page = client.fetch_page({}, page=1, limit=1)
            semantics = probe_date_filter(client, page)
            pages = _examine_page_size(client, page, settings.page_size)
            account = _examine_account(client, settings, page)
    except EtlError as error:
        yield _failure("API", error)
        return None
    count = "an unknown number of" if page.count is None else f"{page.count:,}"
    yield Finding("API", is_good=True, detail=f"{settings.base_url} accepts the key and lists {count} tasks")
    yield pages
    yield _examine_clock(page.served_at, now())
    yield from account
    return semantics


def _examine_key(settings: Settings) -> Finding:
    """Describe the key. An unusual one is no failure: whether it is right, the API says."""
    if is_well_formed(settings.require_api_key()):
        return Finding("key", is_good=True, detail="GCORE_API_KEY is set and well-formed")
    return Finding(
        "key",
        is_good=True,
        detail="GCORE_API_KEY is set, but is not a number, a $ or _, and more, as keys of the portal are: "
        "a shell replaces what follows a $ unless the key is in single quotes",
    )


def _examine_page_size(client: Client, shown: Page, page_size: int) -> Finding:
    """Say how many tasks a page has. A sync finds it out by itself, and needs no setting."""
    own_size = len(shown.records)
    page, accepted, reason = largest_page(client, page_size)
    granted = len(page.records)
    if own_size > 1:
        detail = f"the API ignores the page size and gives {own_size:,} tasks a page: a sync reads all twice"
    elif reason is not None:
        detail = f"pages of {page_size:,} tasks are refused ({reason}); a sync reads {accepted:,} a page"
    elif granted < min(page_size, page.count or 0):
        detail = f"asked for {page_size:,} tasks, the API gives {granted:,} a page"
    else:
        detail = f"pages of {page_size:,} tasks are accepted"
    return Finding("pages", is_good=True, detail=detail)


def _examine_account(client: Client, settings: Settings, shown: Page) -> list[Finding]:
    """Say whether the API shows the tasks of the account that is copied here, if any is."""
    try:
        with connected(settings.database_url) as connection:
            with connection.begin():
                ensure_schema(connection, migrate=False)
                state = read_state(connection)
            if not state.present_tasks:
                return []
            size = state.max_page_size or settings.page_size
            account = Account(
                connection, client, state.client_ids, has_tasks=True, page_size=size, may_change=False
            )
            account.check(shown)
    except AccountChanged as error:
        return [_failure("account", error)]
    except (ConfigurationError, DatabaseError):
        return []  # what is wrong with the database, its own checks say
    return [Finding("account", is_good=True, detail="the API key belongs to the account that is copied here")]


def _examine_clock(served_at: dt.datetime | None, now: dt.datetime) -> Finding:
    if served_at is None:
        return Finding(
            "clock",
            is_good=True,
            detail="the API sends no usable Date header: syncs use this machine's clock and a day's lookback",
        )
    skew = now - served_at
    if abs(skew) > MAX_UNCONFIRMED_SKEW:
        return Finding(
            "clock",
            is_good=True,
            detail=f"the API says it is {served_at:%Y-%m-%d %H:%M}, this machine {now:%Y-%m-%d %H:%M} (UTC): "
            "one of them is wrong; a sync trusts the API's clock unless its tasks' times contradict it",
        )
    detail = f"this machine's clock is {abs(skew.total_seconds()):.0f} s off the server's"
    if abs(skew) > TOLERATED_SKEW:
        detail += "; syncs go by the server's, but set this one right (NTP) to read logs by it"
    return Finding("clock", is_good=True, detail=detail)


def _examine_database(
    settings: Settings, now: Callable[[], dt.datetime]
) -> Generator[Finding, None, str | None]:
    """Give what the last sync took `date_created` for, None where there was none."""
    try:
        with reading(settings.database_url, any_schema=True) as connection:
            ensure_schema(connection, migrate=False)
            waiting = {f"add_index: {index.name}" for index in missing_indexes(connection)}
            differences = [each for each in check(connection) if each not in waiting]
            state = read_state(connection)
            forecast = read_forecast(connection, now(), per_run=settings.max_results)
        yield _try_writing(settings.database_url)
    except (NoTablesError, SchemaOutdatedError) as error:
        note = f"{error} (sync upgrades by itself)"
        yield _try_writing(settings.database_url, note=note, is_empty=isinstance(error, NoTablesError))
        return None
    except EtlError as error:
        yield _failure("database", error)
        return None
    yield Finding(
        "schema",
        is_good=not differences,
        detail="; ".join(differences) or f"up to date{_UNINDEXED if waiting else ''}",
        exit_code=DatabaseError.exit_code if differences else 0,
    )
    yield _examine_results(forecast, settings.max_results)
    return state.date_filter


def _try_writing(database_url: str, *, note: str = _WRITABLE, is_empty: bool = False) -> Finding:
    """Do what a sync does to the database and its files, take it back, and say how that went."""
    path = file_of(database_url)
    try:
        if path is not None and is_empty:
            try_creating(path)
            return Finding("database", is_good=True, detail=note)
        with writing(database_url) as connection:
            if path is None:
                note = f"{note}; the schema is {rehearse(connection)}"
            else:
                try_writing(connection, path)
    except SyncRunning as error:
        return Finding("database", is_good=True, detail=str(error))
    except EtlError as error:
        return _failure("database", error)
    return Finding("database", is_good=True, detail=note)


def _examine_results(forecast: Forecast, per_run: int) -> Finding:
    """Explain what is not archived. What may be lost is worth a word, and no failure of the set-up."""
    if not forecast.waiting:
        return Finding("results", is_good=True, detail="every result that can be had is archived")
    every = forecast.every
    detail = f"{forecast.waiting:,} wait to be archived; a sync every {every} fetches {per_run:,} of them"
    if forecast.first_lost_at is not None:
        detail += f"; the API may delete the first on {forecast.first_lost_at:%Y-%m-%d}"
    if forecast.at_risk:
        detail = forecast.warning(per_run)
    return Finding("results", is_good=True, detail=detail)


def _examine_date_filter(settings: Settings, found: str | None, stored: str | None) -> Finding:
    """Explain the verdict. A wrong one is no failure: a sync notices, and finds out by itself."""
    semantics, forced = found or stored or "unknown", settings.date_filter
    detail = f"{MEANINGS[semantics]}; the lookback is {format_duration(settings.lookback)}"
    if found is None and stored is not None:
        detail += "; so the last sync found"
    elif stored not in {None, "unknown", found}:
        detail += f"; the last sync took it for {stored!r}, the next will notice"
    if forced not in {None, semantics}:
        detail += f"; --date-filter says {forced!r}: leave it out, unless you know better"
    return Finding("date_created", is_good=True, detail=detail)


def _failure(name: str, error: EtlError) -> Finding:
    return Finding(name, is_good=False, detail=str(error), exit_code=error.exit_code)
