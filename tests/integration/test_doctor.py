"""`doctor` finds out what `date_created` means, and says what that leads to."""

from __future__ import annotations

import datetime as dt
import re

import psycopg
import pytest
import sqlalchemy as sa
from support.conditions import execute
from support.dumps import differences, read_dump
from support.worlds import NOW, a_world, settings_for

from etl.database import downgrade, ensure_schema
from etl.emulator import Behaviour, serve
from etl.errors import AccountChanged, DatabaseError
from etl.sync.api import run_sync, writing
from etl.sync.doctor import examine
from etl.sync.expiry_forecast import Forecast
from etl.sync.options import SyncOptions
from etl.sync.runs import open_run
from etl.sync.summary import RunSummary


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


def test_a_span_between_syncs_is_rounded_for_a_person(database_url):
    with serve(a_world()) as emulator:
        settings = settings_for(emulator, database_url, max_results=50)
        for seconds in (0, 49.012707, 98.025414):
            run = RunSummary(started_at=NOW + dt.timedelta(seconds=seconds), mode="full")
            with writing(database_url) as connection, connection.begin():
                ensure_schema(connection)
                open_run(connection, run)
        run_sync(settings, SyncOptions(with_results=False))
        with writing(database_url) as connection, connection.begin():
            connection.execute(sa.text("DELETE FROM sync_runs WHERE run_id > 3"))
        said = say(emulator, database_url, max_results=50)["results"]
    assert "a sync every 49s fetches 50 of them" in said


@pytest.mark.parametrize(
    "seconds, expected",
    [
        (0.2, "1s"),
        (49.012707, "49s"),
        (119.6, "2m"),
        (301.3, "5m"),
        (3_601, "1h"),
        (5_400.5, "90m"),
        (86_399, "1d"),
        (93_600, "26h"),
        (400_000, "5d"),
    ],
)
def test_a_person_reads_the_largest_unit_of_which_there_are_two(seconds, expected):
    span = dt.timedelta(seconds=seconds)
    found = Forecast(waiting=1, never_asked=1, at_risk=0, first_lost_at=None, interval=span)
    assert found.every == expected


def test_what_may_be_lost_by_now_is_not_promised_for_yesterday(database_url):
    """The API keeps a result for a month: for 30 days or 31."""
    with serve(a_world()) as emulator:
        run_sync(settings_for(emulator, database_url), SyncOptions(with_results=False))
        first = min(task.completed_at for task in emulator.world.tasks.values() if task.completed_at)
        later = first + dt.timedelta(days=30, hours=20)
        findings = examine(settings_for(emulator, database_url), now=lambda: later)
        (said,) = [finding.detail for finding in findings if finding.name == "results"]
    days = [dt.date.fromisoformat(day) for day in re.findall(r"\d{4}-\d\d-\d\d", said)]
    assert days
    assert min(days) >= later.date()


def test_the_doctor_names_the_lock_holder_and_is_content(database_url):
    with serve(a_world()) as emulator:
        run_sync(settings_for(emulator, database_url), SyncOptions(with_results=False))
        with writing(database_url):
            said = say(emulator, database_url)["database"]
    assert "another sync is writing to this database" in said


def failures(emulator, database_url) -> list[tuple[str, int, str]]:
    found = examine(settings_for(emulator, database_url), now=lambda: NOW)
    return [(each.name, each.exit_code, each.detail) for each in found if each.exit_code]


def test_the_key_of_another_account_is_noticed_as_a_sync_would(database_url):
    with serve(a_world()) as emulator:
        run_sync(settings_for(emulator, database_url), SyncOptions(with_results=False))
        assert "the account that is copied here" in say(emulator, database_url)["account"]
    with serve(a_world(20, seed=9, client_id=77)) as other:
        with pytest.raises(AccountChanged) as caught:
            run_sync(settings_for(other, database_url))
        assert failures(other, database_url) == [("account", 3, str(caught.value))]


def test_what_is_in_the_way_of_an_upgrade_is_named_as_by_a_sync(database_url):
    with serve(a_world(5)) as emulator:
        run_sync(settings_for(emulator, database_url), SyncOptions(with_results=False))
        with writing(database_url) as connection, connection.begin():
            downgrade(connection, "0008")
        before = read_dump(database_url)
        assert failures(emulator, database_url) == []
        assert differences(read_dump(database_url), before) == []
        execute(database_url, "CREATE TABLE task_waits (mine int)")
        with pytest.raises(DatabaseError, match="task_waits") as caught:
            run_sync(settings_for(emulator, database_url))
        assert failures(emulator, database_url) == [("database", 4, str(caught.value))]


def test_an_upgrade_that_would_wait_for_readers_is_not_waited_for(postgres_databases):
    with postgres_databases.migrated() as url, serve(a_world(5)) as emulator:
        with writing(url) as connection, connection.begin():
            downgrade(connection, "0008")
        with psycopg.connect(url) as reader:
            reader.execute("SELECT count(*) FROM tasks")
            assert failures(emulator, url) == []
