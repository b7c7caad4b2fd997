"""`doctor` finds out what `date_created` means, and says what that leads to."""

from __future__ import annotations

import datetime as dt

import pytest
from support.worlds import NOW, a_world, settings_for

from etl.emulator import Behaviour, serve
from etl.sync.doctor import examine
from etl.sync.options import SyncOptions
from etl.sync.session import run_sync


def say(emulator, database_url, **settings) -> dict[str, str]:
    findings = examine(settings_for(emulator, database_url, **settings), now=lambda: NOW)
    return {finding.name: finding.detail for finding in findings}


@pytest.mark.parametrize("meaning", ["gte", "lte", "day", "exact", "ignored", "rejected"])
def test_the_meaning_of_date_created_is_found_out_before_the_first_sync(sqlite_databases, meaning):
    with sqlite_databases.empty() as url, serve(a_world(), Behaviour(date_created=meaning)) as emulator:
        assert say(emulator, url)["date_created"].startswith(f"{meaning!r}")


def test_a_verdict_that_no_longer_holds_and_a_forced_one_that_is_wrong_are_named(database_url):
    with serve(a_world()) as emulator:
        run_sync(settings_for(emulator, database_url), SyncOptions(with_results=False))
        assert say(emulator, database_url)["date_created"].endswith("the lookback is 1h")
        emulator.behaviour.date_created = "day"
        said = say(emulator, database_url, date_filter="exact", lookback=dt.timedelta(minutes=5))
    assert "the last sync took it for 'gte', the next will notice" in said["date_created"]
    assert "--date-filter says 'exact'" in said["date_created"]
    assert "the lookback is 5m" in said["date_created"]


def test_what_waits_to_be_archived_is_explained(database_url):
    with serve(a_world()) as emulator:
        run_sync(settings_for(emulator, database_url), SyncOptions(with_results=False))
        said = say(emulator, database_url, max_results=50)["results"]
        assert "wait to be archived; a sync every 1d fetches 50 of them" in said
        assert "the API may delete the first on 2026-07-0" in said
        run_sync(settings_for(emulator, database_url))
        assert say(emulator, database_url)["results"] == "every result that can be had is archived"


def test_an_empty_account_leaves_it_open(database_url):
    with serve(a_world(0)) as emulator:
        assert say(emulator, database_url)["date_created"].startswith("'unknown'")
