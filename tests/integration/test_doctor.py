"""The checks of `doctor`, and what each of them reports."""

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
from etl.sync.run_record import open_run
from etl.sync.summary import RunSummary


def details(emulator, database_url, **settings) -> dict[str, str]:
    """Return the detail of each finding by its name."""
    findings = examine(settings_for(emulator, database_url, **settings), now=lambda: NOW)
    return {finding.name: finding.detail for finding in findings}


@pytest.mark.parametrize("meaning", ["gte", "lte", "day", "exact", "ignored", "rejected"])
def test_date_filter_semantics_are_detected_before_the_first_sync(sqlite_databases, meaning):
    with sqlite_databases.empty() as url, serve(a_world(), Behaviour(date_created=meaning)) as emulator:
        assert details(emulator, url)["date_created"].startswith(f"{meaning!r}")


def test_outdated_and_wrongly_forced_date_filter_semantics_are_reported(database_url):
    with serve(a_world()) as emulator:
        run_sync(settings_for(emulator, database_url), SyncOptions(with_results=False))
        assert details(emulator, database_url)["date_created"].endswith("the lookback is 1 h")
        emulator.behaviour.date_created = "day"
        said = details(emulator, database_url, date_filter="exact", lookback=dt.timedelta(minutes=5))
    assert "the last sync detected 'gte', and the next one corrects it" in said["date_created"]
    assert "--date-filter is set to 'exact'" in said["date_created"]
    assert "the lookback is 5 min" in said["date_created"]


def test_pending_results_are_reported(database_url):
    with serve(a_world()) as emulator:
        run_sync(settings_for(emulator, database_url), SyncOptions(with_results=False))
        said = details(emulator, database_url, max_results=50)["results"]
        assert "pending; a sync every 1 d fetches up to 50 of them" in said
        assert "the first may expire on 2026-07-0" in said
        run_sync(settings_for(emulator, database_url))
        assert details(emulator, database_url)["results"] == "all available results are archived"


def test_date_filter_semantics_of_an_empty_account_are_unknown(database_url):
    with serve(a_world(0)) as emulator:
        assert details(emulator, database_url)["date_created"].startswith("'unknown'")


def test_the_interval_between_syncs_is_rounded(database_url):
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
        said = details(emulator, database_url, max_results=50)["results"]
    assert "a sync every 49 s fetches up to 50 of them" in said


@pytest.mark.parametrize(
    "seconds, expected",
    [
        (0.2, "1 s"),
        (49.012707, "49 s"),
        (119.6, "2 min"),
        (301.3, "5 min"),
        (3_601, "1 h"),
        (5_400.5, "1 h 30 min"),
        (86_399, "1 d"),
        (93_600, "1 d 2 h"),
        (400_000, "5 d"),
    ],
)
def test_the_interval_is_rounded_to_the_largest_unit_that_fits_twice(seconds, expected):
    span = dt.timedelta(seconds=seconds)
    found = Forecast(
        waiting=1,
        unrequested=1,
        at_risk=0,
        first_expires_at=None,
        first_at_risk_expires_at=None,
        interval=span,
    )
    assert found.every == expected


def test_the_first_deletion_is_never_in_the_past(database_url):
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


def test_a_running_sync_is_reported_but_is_not_a_failure(database_url):
    with serve(a_world()) as emulator:
        run_sync(settings_for(emulator, database_url), SyncOptions(with_results=False))
        with writing(database_url):
            said = details(emulator, database_url)["database"]
    assert "another sync is writing to this database" in said


def failures(emulator, database_url) -> list[tuple[str, int, str]]:
    found = examine(settings_for(emulator, database_url), now=lambda: NOW)
    return [(each.name, each.exit_code, each.detail) for each in found if each.exit_code]


def test_the_key_of_another_account_fails_as_in_a_sync(database_url):
    with serve(a_world()) as emulator:
        run_sync(settings_for(emulator, database_url), SyncOptions(with_results=False))
        assert "the account of this copy" in details(emulator, database_url)["account"]
    with serve(a_world(20, seed=9, client_id=77)) as other:
        with pytest.raises(AccountChanged) as caught:
            run_sync(settings_for(other, database_url))
        assert failures(other, database_url) == [("account", 3, str(caught.value))]


def test_blocked_upgrade_is_reported_as_in_a_sync(database_url):
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


def test_trial_upgrade_does_not_wait_for_readers(postgres_databases):
    with postgres_databases.migrated() as url, serve(a_world(5)) as emulator:
        with writing(url) as connection, connection.begin():
            downgrade(connection, "0008")
        with psycopg.connect(url) as reader:
            reader.execute("SELECT count(*) FROM tasks")
            assert failures(emulator, url) == []
