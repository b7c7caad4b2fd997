"""Checks of everything that a sync needs. A failed check explains how to fix the problem."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING

from etl.database import check, connected, ensure_schema, file_of, reading
from etl.database.write_check import try_creating, try_writing
from etl.durations import format_duration
from etl.enums import DateFilter
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
from etl.settings import hint_at_other_names, is_well_formed
from etl.sync.account import Account
from etl.sync.api import make_client, writing
from etl.sync.clock import MAX_UNCONFIRMED_SKEW
from etl.sync.expiry_forecast import read_forecast
from etl.sync.rehearsal import rehearse
from etl.sync.state import read_state
from etl.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from etl.extract.client import Client
    from etl.extract.payload import Page
    from etl.settings import Settings
    from etl.sync.expiry_forecast import Forecast

# The watermark is the server's time, so a larger difference is mentioned but is not a failure.
MAX_UNMENTIONED_SKEW = dt.timedelta(minutes=1)
_WRITABLE = "can be opened, locked and written, and there is a folder for temporary files"
_UNINDEXED = ", but the first sync was interrupted: the next one builds the missing indexes"

_NEWEST_FIRST = "syncs do not use it and read the newest tasks first"
MEANINGS: dict[str, str] = {
    DateFilter.GTE: "'gte', created at or after: syncs request the tasks since the watermark",
    DateFilter.LTE: f"'lte', created at or before: {_NEWEST_FIRST}",
    DateFilter.DAY: "'day', created on that day: syncs request one day at a time",
    DateFilter.EXACT: f"'exact', created exactly then: {_NEWEST_FIRST}",
    DateFilter.IGNORED: f"'ignored' by the API: {_NEWEST_FIRST}",
    DateFilter.REJECTED: f"'rejected' by the API: {_NEWEST_FIRST}",
    DateFilter.UNKNOWN: "'unknown': the first sync that finds tasks detects it",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check. If it failed, `exit_code` is the one that a sync would end with."""

    name: str
    detail: str
    exit_code: int = 0

    @property
    def is_good(self) -> bool:
        """Whether the check succeeded."""
        return self.exit_code == 0


def examine(settings: Settings, *, now: Callable[[], dt.datetime]) -> Iterator[Finding]:
    """Yield the outcome of each check, from the key and the API to the database and its results."""
    found = yield from _examine_source(settings, now)
    stored = yield from _examine_database(settings, now)
    yield _examine_date_filter(settings, found, stored)


def _examine_source(
    settings: Settings, now: Callable[[], dt.datetime]
) -> Generator[Finding, None, str | None]:
    """Return the detected date-filter semantics; None if the API cannot be reached."""
    try:
        settings.require_api_key()
    except EtlError as error:
        yield _failure("key", error)
        return None
    yield _examine_key(settings)
    try:
        client = make_client(settings)
    except EtlError as error:
        yield _failure("network", error)
        return None
    try:
        with client:
            yield Finding("network", f"{client.route}{hint_at_other_names()}")
            page = client.fetch_page({}, page=1, limit=1)
            semantics = probe_date_filter(client, page)
            pages = _examine_page_size(client, page, settings.page_size)
            account = _examine_account(client, settings, page)
    except EtlError as error:
        yield _failure("API", error)
        return None
    tasks = "an unknown number of tasks" if page.count is None else counted(page.count, "task")
    yield Finding("API", f"{settings.base_url} accepts the key and lists {tasks}")
    yield pages
    yield _examine_clock(page.served_at, now())
    yield from account
    return semantics


def _examine_key(settings: Settings) -> Finding:
    """Describe the key. An unusual form is not a failure: only the API knows whether it is valid."""
    if is_well_formed(settings.require_api_key()):
        return Finding("key", "GCORE_API_KEY is set and well-formed")
    return Finding(
        "key",
        "GCORE_API_KEY is set, but keys from the portal have the form NUMBER$TEXT or NUMBER_TEXT: "
        "put the key in single quotes, because a shell replaces text after a $",
    )


def _examine_page_size(client: Client, shown: Page, page_size: int) -> Finding:
    """Describe how many tasks the API returns per page. Syncs adapt to it without any setting."""
    own_size = len(shown.records)
    page, accepted, reason = largest_page(client, page_size)
    granted = len(page.records)
    if own_size > 1:
        detail = (
            f"the API ignores the page size and returns {own_size:,} tasks per page: syncs read them twice"
        )
    elif reason is not None:
        detail = (
            f"pages of {counted(page_size, 'task')} are refused ({reason}): syncs read {accepted:,} per page"
        )
    elif granted < min(page_size, page.count or 0):
        detail = f"the API returns at most {counted(granted, 'task')} per page; {page_size:,} were requested"
    else:
        detail = f"pages of {counted(page_size, 'task')} are accepted"
    return Finding("pages", detail)


def _examine_account(client: Client, settings: Settings, shown: Page) -> list[Finding]:
    """Check that the key belongs to the account of this copy; no finding if the copy is empty or unusable."""
    try:
        with connected(settings.database_url) as connection:
            with connection.begin():
                ensure_schema(connection, migrate=False)
                state = read_state(connection)
            if not state.present_tasks:
                return []
            Account(connection, client, state, page_size=settings.page_size).check(shown)
    except AccountChanged as error:
        return [_failure("account", error)]
    except (ConfigurationError, DatabaseError):
        return []  # the checks of the database report it
    return [Finding("account", "the API key belongs to the account of this copy")]


def _examine_clock(served_at: dt.datetime | None, now: dt.datetime) -> Finding:
    if served_at is None:
        return Finding(
            "clock",
            "the API sends no valid Date header: syncs use this machine's clock and look back a day",
        )
    skew = now - served_at
    if abs(skew) > MAX_UNCONFIRMED_SKEW:
        return Finding(
            "clock",
            f"the API's clock shows {served_at:%Y-%m-%d %H:%M} UTC, this machine's "
            f"{now:%Y-%m-%d %H:%M} UTC; one of them is wrong: "
            "syncs use the API's clock unless the times of its tasks contradict it",
        )
    seconds = round(abs(skew).total_seconds())
    detail = f"this machine's clock differs from the server's by {format_duration(seconds)}"
    if abs(skew) > MAX_UNMENTIONED_SKEW:
        detail += "; syncs use the server's, but correct this one (NTP) so that logs show the right time"
    return Finding("clock", detail)


def _examine_database(
    settings: Settings, now: Callable[[], dt.datetime]
) -> Generator[Finding, None, str | None]:
    """Return the date-filter semantics stored by the last sync; None if there was none."""
    try:
        with reading(settings.database_url, any_schema=True) as connection:
            ensure_schema(connection, migrate=False)
            missing = {f"add_index: {index.name}" for index in missing_indexes(connection)}
            differences = [each for each in check(connection) if each not in missing]
            state = read_state(connection)
            forecast = read_forecast(connection, now(), per_run=settings.max_results)
        yield _try_writing(settings.database_url)
    except NoTablesError as error:
        yield _try_writing(settings.database_url, note=str(error), is_empty=True)
        return None
    except SchemaOutdatedError as error:
        yield _try_writing(settings.database_url, note=f"{error}, or gcore-etl sync, which also upgrades it")
        return None
    except EtlError as error:
        yield _failure("database", error)
        return None
    yield Finding(
        "schema",
        "; ".join(differences) or f"up to date{_UNINDEXED if missing else ''}",
        DatabaseError.exit_code if differences else 0,
    )
    yield _examine_results(forecast, settings.max_results)
    return state.date_filter


def _try_writing(database_url: str, *, note: str = _WRITABLE, is_empty: bool = False) -> Finding:
    """Try what a sync does to the database and its files, undo it, and return the outcome."""
    path = file_of(database_url)
    try:
        if path is not None and is_empty:
            try_creating(path)
            return Finding("database", note)
        with writing(database_url) as connection:
            if path is None:
                note = f"{note}; the schema is {rehearse(connection)}"
            else:
                try_writing(connection, path)
    except SyncRunning as error:
        return Finding("database", str(error))
    except EtlError as error:
        return _failure("database", error)
    return Finding("database", note)


def _examine_results(forecast: Forecast, per_run: int) -> Finding:
    """Describe the pending results. Results at risk are mentioned but are not a failure of the setup."""
    if not forecast.waiting:
        return Finding("results", "all available results are archived")
    detail = f"{forecast.waiting:,} pending; a sync every {forecast.every} fetches up to {per_run:,} of them"
    if forecast.first_expires_at is not None:
        detail += f"; the first may expire on {forecast.first_expires_at:%Y-%m-%d}"
    if forecast.at_risk:
        detail = forecast.warning(per_run)
    return Finding("results", detail)


def _examine_date_filter(settings: Settings, found: str | None, stored: str | None) -> Finding:
    """Describe the date-filter semantics. Wrong ones are not a failure, because syncs detect them again."""
    semantics, forced = found or stored or DateFilter.UNKNOWN, settings.date_filter
    detail = f"{MEANINGS[semantics]}; the lookback is {format_duration(settings.lookback)}"
    if found is None and stored is not None:
        detail += "; detected by the last sync"
    elif stored not in {None, DateFilter.UNKNOWN, found}:
        detail += f"; the last sync detected '{stored}', and the next one corrects it"
    if forced not in {None, semantics}:
        detail += f"; --date-filter is set to '{forced}': remove it unless you are sure"
    return Finding("date_created", detail)


def _failure(name: str, error: EtlError) -> Finding:
    return Finding(name, str(error), error.exit_code)
