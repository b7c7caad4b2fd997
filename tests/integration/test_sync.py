"""The whole path, over a real socket, on both databases."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import pytest
from support.grids import one_in
from support.worlds import a_world, query, settings_for, stored_states, true_states

from etl.emulator import Behaviour, serve
from etl.errors import (
    AccountChanged,
    CredentialsRefused,
    FeatureDisabled,
    MassRemoval,
    SourceError,
    SyncRunning,
)
from etl.sync.api import run_sync, writing
from etl.sync.options import SyncOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.emulator import Emulator

DATA_TABLES = ("tasks", "task_history", "task_results", "subtitles", "detections", "rejected_records")


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with serve(a_world(), Behaviour(page_cap=50)) as emulator:
        yield emulator


def dump(database_url: str) -> dict[str, list[tuple]]:
    """Return every row of every table that holds data."""
    return {table: sorted(query(database_url, f"SELECT * FROM {table}"), key=repr) for table in DATA_TABLES}


def test_a_first_sync_stores_exactly_what_the_source_has(emulator, database_url):
    summary = run_sync(settings_for(emulator, database_url))
    assert stored_states(database_url) == true_states(emulator.world)
    assert (summary.mode, summary.inserted, summary.rejected) == ("full", 200, 0)
    events = query(database_url, "SELECT event, count(*) FROM task_history GROUP BY event")
    assert events == [("discovered", 200)]


@pytest.mark.parametrize("options", [SyncOptions(), SyncOptions(is_full=True)])
def test_second_sync_of_unchanged_source_writes_no_rows(emulator, database_url, options):
    settings = settings_for(emulator, database_url)
    run_sync(settings)
    before = dump(database_url)
    summary = run_sync(settings, options)
    assert (summary.inserted, summary.updated, summary.removed) == (0, 0, 0)
    assert dump(database_url) == before


def test_incremental_sync_records_only_changes(emulator, database_url):
    settings = settings_for(emulator, database_url)
    run_sync(settings)
    before = stored_states(database_url)
    emulator.world.advance(dt.timedelta(hours=3))
    run_sync(settings)
    now = true_states(emulator.world)
    assert stored_states(database_url) == now
    changed = {task_id for task_id in before if before[task_id] != now[task_id]}
    assert changed
    rows = query(
        database_url, "SELECT task_id, event, previous_status, status FROM task_history WHERE run_id = 2"
    )
    assert {row[0] for row in rows if row[1] == "changed"} == changed
    assert {row[0] for row in rows if row[1] == "discovered"} == now.keys() - before.keys()
    assert all(before[row[0]][0] == row[2] for row in rows if row[1] == "changed")


def test_in_flight_task_is_followed_at_any_age(emulator, database_url):
    task_id = emulator.world.create()
    emulator.world.start(task_id)
    settings = settings_for(emulator, database_url)
    run_sync(settings)
    for _ in range(3):
        emulator.world.advance(dt.timedelta(days=1))
        run_sync(settings)
    emulator.world.finish(task_id)
    run_sync(settings)
    assert stored_states(database_url)[task_id][0] == "SUCCESS"


def test_full_sync_records_removed_and_reappeared_tasks(emulator, database_url):
    settings = settings_for(emulator, database_url)
    run_sync(settings)
    gone = next(task.task_id for task in emulator.world.tasks.values() if task.status == "SUCCESS")
    emulator.world.delete(gone)
    assert run_sync(settings, SyncOptions(is_full=True)).removed == 1
    assert gone not in stored_states(database_url)
    emulator.world.revive(gone)
    run_sync(settings, SyncOptions(is_full=True))
    assert gone in stored_states(database_url)
    rows = query(
        database_url, "SELECT event FROM task_history WHERE task_id = :id ORDER BY history_id", id=gone
    )
    assert rows == [("discovered",), ("removed",), ("reappeared",)]


def test_mass_removal_is_refused_unless_allowed(emulator, database_url):
    settings = settings_for(emulator, database_url)
    run_sync(settings)
    for task in list(emulator.world.tasks.values())[:60]:
        emulator.world.delete(task.task_id)
    with pytest.raises(MassRemoval, match="60 of 200"):
        run_sync(settings, SyncOptions(is_full=True))
    assert len(stored_states(database_url)) == 200
    run_sync(settings, SyncOptions(is_full=True, allow_mass_removal=True))
    assert stored_states(database_url) == true_states(emulator.world)


def test_another_account_is_refused_before_anything_is_stored(emulator, database_url):
    run_sync(settings_for(emulator, database_url))
    before = dump(database_url)
    with serve(a_world(seed=8, client_id=99)) as other:
        with pytest.raises(AccountChanged, match="99"):
            run_sync(settings_for(other, database_url))
        assert dump(database_url) == before
        run_sync(settings_for(other, database_url), SyncOptions(allow_account_change=True))
        assert true_states(other.world).items() <= stored_states(database_url).items()


def test_new_client_of_the_same_account_is_accepted(emulator, database_url):
    settings = settings_for(emulator, database_url)
    run_sync(settings)
    emulator.world.start(emulator.world.create(task_data={"task_name": "transcription", "client_id": 99}))
    run_sync(settings)
    assert stored_states(database_url) == true_states(emulator.world)
    assert json.loads(query(database_url, "SELECT CAST(client_ids AS TEXT) FROM sync_state")[0][0]) == [
        99,
        2675,
    ]


def test_empty_account_is_refused_as_a_mass_removal(emulator, database_url):
    run_sync(settings_for(emulator, database_url))
    before = dump(database_url)
    with serve(a_world(0)) as other, pytest.raises(MassRemoval, match="200 of 200"):
        run_sync(settings_for(other, database_url))
    assert dump(database_url) == before


def test_watermark_is_server_time_and_never_decreases(emulator, database_url):
    settings = settings_for(emulator, database_url)
    start = emulator.world.now
    first = run_sync(settings)
    assert first.watermark == start.replace(microsecond=0)
    emulator.behaviour.clock_skew = dt.timedelta(days=-30)
    assert run_sync(settings).watermark == first.watermark


def test_failed_sync_keeps_the_watermark_and_records_the_error(emulator, database_url):
    settings = settings_for(emulator, database_url)
    first = run_sync(settings)
    emulator.behaviour.feature_disabled = True
    emulator.world.advance(dt.timedelta(hours=1))
    with pytest.raises(FeatureDisabled):
        run_sync(settings)
    ((status, error, _),) = query(
        database_url, "SELECT status, error, watermark_after FROM sync_runs WHERE run_id = 2"
    )
    assert status == "failed"
    assert "not enabled" in error
    emulator.behaviour.feature_disabled = False
    assert run_sync(settings).watermark_before == first.watermark


def test_refused_key_is_not_retried(emulator, database_url):
    settings = settings_for(emulator, database_url)
    emulator.behaviour.bad_key_status = 403
    emulator.api_key = "1$another"
    with pytest.raises(CredentialsRefused, match="GCORE_API_KEY"):
        run_sync(settings)
    assert len(emulator.requests) == 1


def test_sync_is_refused_while_another_writer_holds_the_lock(emulator, database_url):
    settings = settings_for(emulator, database_url)
    run_sync(settings)
    with writing(database_url), pytest.raises(SyncRunning):
        run_sync(settings)
    run_sync(settings)


def test_a_dry_run_counts_and_writes_nothing(emulator, database_url):
    settings = settings_for(emulator, database_url)
    summary = run_sync(settings, SyncOptions(dry_run=True))
    assert summary.inserted == 200
    run_sync(settings)
    emulator.world.advance(dt.timedelta(hours=3))
    before = dump(database_url)
    dry = run_sync(settings, SyncOptions(dry_run=True))
    assert dump(database_url) == before
    wet = run_sync(settings)
    assert (dry.inserted, dry.updated) == (wet.inserted, wet.updated)


BAD_FIELDS = {
    "nul": rb'"client_user_id":"a\u0000b"',
    "surrogate": rb'"client_user_id":"a\ud800b"',
    "bad utf-8": b'"client_user_id":"a\xffb"',
    "nan": b'"weight":NaN',
    "huge integer": b'"weight":' + b"9" * 3000,
    "huge float": b'"weight":1e999',
    "deep": b'"weight":' + b"[" * 3000 + b"]" * 3000,
    "long": b'"client_user_id":"' + b"x" * 2_000_000 + b'"',
}


@one_in(2, "name", BAD_FIELDS)
def test_malformed_field_loses_no_records(emulator, database_url, name):
    task_id = "00000000-0000-4000-8000-000000000001"
    raw = b'{"task_id":"%s","status":"SUCCESS","task_data":{%s}}' % (task_id.encode(), BAD_FIELDS[name])
    emulator.world.add_raw(task_id, raw)
    summary = run_sync(settings_for(emulator, database_url))
    assert stored_states(database_url) == {**true_states(emulator.world), task_id: ("SUCCESS", None)}
    assert summary.inserted == 201
    assert run_sync(settings_for(emulator, database_url), SyncOptions(is_full=True)).updated == 0


@pytest.mark.parametrize("raw", [b'{"status":"SUCCESS"}', b'{"task_id":7}', b"5", b'{"task_id":"a\\u0000"}'])
def test_record_without_usable_id_is_rejected_once(emulator, database_url, raw):
    usable = true_states(emulator.world)
    emulator.world.add_raw("00000000-0000-4000-8000-000000000001", raw)
    settings = settings_for(emulator, database_url)
    for _ in range(2):
        summary = run_sync(settings, SyncOptions(is_full=True))
        assert summary.rejected == 1
    assert query(database_url, "SELECT raw FROM rejected_records") == [(raw.decode(),)]
    assert stored_states(database_url) == usable


@one_in(2, "kind", ["500", "502_html", "429_seconds", "reset", "reset_mid_body", "truncated_json"])
def test_transient_fault_loses_no_tasks(emulator, database_url, kind):
    from etl.emulator import Fault  # noqa: PLC0415

    emulator.inject(Fault(kind, times=1, after=2))
    run_sync(settings_for(emulator, database_url))
    assert stored_states(database_url) == true_states(emulator.world)


def test_permanent_fault_fails_the_run_without_a_watermark(emulator, database_url):
    from etl.emulator import Fault  # noqa: PLC0415

    emulator.inject(Fault("500", times=1000, after=2))
    with pytest.raises(SourceError, match="500"):
        run_sync(settings_for(emulator, database_url, retry_for=dt.timedelta(seconds=1)))
    assert query(database_url, "SELECT status, watermark_after FROM sync_runs") == [("failed", None)]
