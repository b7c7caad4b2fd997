"""Fields that only the details of a task have are stored, and no list erases them (promises P4 and P9)."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from support.stored import as_instant
from support.worlds import a_world, finished_world, query, settings_for

from etl.database import ensure_schema, open_engine, schema
from etl.emulator import Behaviour, Fault, serve
from etl.extract.payload import task_payload
from etl.load.details import ADDABLE, add_details, merge_detail, only_in_detail
from etl.models import TASKS
from etl.sync.api import run_sync, writing
from etl.sync.options import SyncOptions

if TYPE_CHECKING:
    from etl.emulator import Emulator, World

FULL = SyncOptions(is_full=True)
TABLES = ("tasks", "task_history", "task_results")
FINAL = {"SUCCESS", "FAILURE", "REVOKED"}


def stored_times(database_url: str) -> dict[str, tuple]:
    rows = query(database_url, "SELECT task_id, started_at, completed_at, total_time_sec FROM tasks")
    return {row[0]: (as_instant(row[1]), as_instant(row[2]), row[3]) for row in rows}


def true_times(world: World, statuses: set[str] = FINAL) -> dict[str, tuple]:
    return {
        task.task_id: (task.started_at, task.completed_at, task.total_time_sec)
        for task in world.tasks.values()
        if task.status in statuses
    }


def dump(database_url: str) -> dict[str, list[tuple]]:
    return {table: sorted(query(database_url, f"SELECT * FROM {table}"), key=repr) for table in TABLES}


def details_asked(emulator: Emulator) -> int:
    return sum("tasks/" in request.path for request in emulator.requests)


def downgrade(database_url: str, revision: str) -> None:
    engine = open_engine(database_url)
    with engine.begin() as connection:
        schema.downgrade(connection, revision)
    engine.dispose()


def upgrade(database_url: str) -> None:
    engine = open_engine(database_url)
    with engine.begin() as connection:
        ensure_schema(connection)
    engine.dispose()


def test_times_missing_from_lists_are_taken_from_details(database_url):
    world = a_world(80, arrivals_per_hour=20)
    world.revoke(world.create())
    with serve(world, Behaviour(record_shape="older")) as emulator:
        settings = settings_for(emulator, database_url)
        for _ in range(3):
            run_sync(settings)
            found = stored_times(database_url)
            truth = true_times(world)
            assert {task_id: found[task_id] for task_id in truth} == truth
            world.advance(dt.timedelta(hours=3))


@pytest.mark.parametrize("options", [SyncOptions(), FULL])
def test_next_sync_neither_erases_nor_rewrites_details(database_url, options):
    world = finished_world(50)
    with serve(world, Behaviour(record_shape="older", extra_detail_fields={"shard": 5})) as emulator:
        settings = settings_for(emulator, database_url)
        run_sync(settings)
        before = dump(database_url)
        emulator.reset_log()
        for _ in range(2):
            summary = run_sync(settings, options)
            assert (summary.updated, summary.results_archived) == (0, 0)
            assert dump(database_url) == before
        assert details_asked(emulator) == 0


def test_change_of_other_fields_keeps_details(database_url):
    """The record differs, so it is compared, but it still has no times."""
    world = finished_world(30)
    with serve(world, Behaviour(record_shape="older", extra_detail_fields={"shard": 5})) as emulator:
        settings = settings_for(emulator, database_url)
        run_sync(settings)
        emulator.behaviour.extra_fields = {"colour": "blue"}
        assert run_sync(settings, FULL).updated == 30
        assert stored_times(database_url) == true_times(world)
        extras = query(database_url, "SELECT CAST(extra AS TEXT) FROM tasks WHERE status <> 'REVOKED'")
        assert {frozenset(json.loads(extra).items()) for (extra,) in extras} == {
            frozenset({"shard": 5, "colour": "blue"}.items())
        }
        emulator.behaviour.extra_fields = {}
        run_sync(settings, FULL)
        assert stored_times(database_url) == true_times(world)


def test_unknown_detail_field_is_stored_in_extra(database_url):
    world = finished_world(30)
    with serve(world, Behaviour(extra_detail_fields={"shard": 5})) as emulator:
        settings = settings_for(emulator, database_url)
        run_sync(settings)
        extras = query(database_url, "SELECT CAST(extra AS TEXT) FROM tasks WHERE status <> 'REVOKED'")
        assert {extra for (extra,) in extras} <= {'{"shard":5}', '{"shard": 5}'}
        before = dump(database_url)
        assert run_sync(settings, FULL).updated == 0
        assert dump(database_url) == before


def test_no_details_are_stored_if_lists_are_complete(database_url):
    world = finished_world(30)
    with serve(world) as emulator:
        run_sync(settings_for(emulator, database_url))
    assert query(database_url, "SELECT count(*) FROM tasks WHERE detail IS NOT NULL") == [(0,)]


def test_restarted_task_has_no_times_until_it_ends(database_url):
    world = finished_world(10)
    with serve(world, Behaviour(record_shape="older")) as emulator:
        settings = settings_for(emulator, database_url)
        run_sync(settings)
        task = next(task for task in world.tasks.values() if task.status in {"SUCCESS", "FAILURE"})
        task.status, task.rendered = "PENDING", None
        run_sync(settings, FULL)
        assert stored_times(database_url)[task.task_id] == (None, None, None)
        task.started_at = world.now
        world.advance(dt.timedelta(hours=1))
        task.completed_at, task.status, task.rendered = world.now, "SUCCESS", None
        run_sync(settings)
        assert stored_times(database_url)[task.task_id][:2] == (task.started_at, task.completed_at)


def test_times_from_lists_replace_those_from_details(database_url):
    world = finished_world(20)
    with serve(world, Behaviour(record_shape="older")) as emulator:
        settings = settings_for(emulator, database_url)
        run_sync(settings)
        emulator.behaviour.record_shape = "present"
        for task in world.tasks.values():
            if task.completed_at is not None:
                task.completed_at += dt.timedelta(seconds=7)
        run_sync(settings, FULL)
        assert stored_times(database_url) == true_times(world)
        emulator.behaviour.record_shape = "older"
        run_sync(settings, FULL)
        assert stored_times(database_url).keys() == world.tasks.keys()


@pytest.mark.parametrize("options", [SyncOptions(), FULL])
@pytest.mark.parametrize("with_results", [True, False])
def test_times_are_kept_after_lists_stop_showing_them(database_url, options, with_results):
    world = a_world(60, arrivals_per_hour=20)
    first = dataclasses.replace(FULL, with_results=with_results)
    options = dataclasses.replace(options, with_results=with_results)
    with serve(world, Behaviour()) as emulator:
        settings = settings_for(emulator, database_url, lookback=dt.timedelta(days=30))
        run_sync(settings, first)
        truth = true_times(world)
        emulator.behaviour.record_shape = "older"
        run_sync(settings, options)
        before = dump(database_url)
        run_sync(settings, options)
        assert dump(database_url) == before
        found = stored_times(database_url)
        assert {task_id: found[task_id] for task_id in truth} == truth


def test_details_missing_after_upgrade_are_fetched_over_several_runs(database_url):
    world = finished_world(40)
    with serve(world, Behaviour(record_shape="older")) as emulator:
        settings = settings_for(emulator, database_url)
        run_sync(settings)
        engine = open_engine(database_url)
        with engine.begin() as connection:  # as an older release left them
            connection.execute(sa.text("UPDATE tasks SET started_at = NULL, completed_at = NULL"))
            connection.execute(sa.text("UPDATE tasks SET total_time_sec = NULL"))
        engine.dispose()
        downgrade(database_url, "0008")
        upgrade(database_url)
        results = query(database_url, "SELECT task_id, state, attempts FROM task_results")
        emulator.reset_log()
        for done in (15, 30, 40):
            run_sync(settings_for(emulator, database_url, max_results=15))
            assert details_asked(emulator) == done
            known = [task_id for task_id, times in stored_times(database_url).items() if times[1]]
            assert len(known) == done
        run_sync(settings)
        assert details_asked(emulator) == 40
        assert stored_times(database_url) == true_times(world)
        assert query(database_url, "SELECT task_id, state, attempts FROM task_results") == results


def test_failed_details_are_retried_after_a_day(database_url):
    world = a_world(0)
    task_id = world.create()
    world.start(task_id)
    world.revoke(task_id)
    with serve(world, Behaviour(record_shape="older")) as emulator:
        settings = settings_for(emulator, database_url, retry_for=dt.timedelta(seconds=1))
        emulator.inject(Fault("500", times=1000, match="detail"))
        run_sync(settings)
        emulator.behaviour.faults.clear()
        emulator.reset_log()
        run_sync(settings)
        assert details_asked(emulator) == 0
        world.advance(dt.timedelta(days=1, minutes=1))
        run_sync(settings)
        assert stored_times(database_url) == true_times(world)
        world.advance(dt.timedelta(days=2))
        run_sync(settings)
        assert details_asked(emulator) == 1


def test_times_from_details_are_kept_when_list_shows_the_status(database_url):
    """The list ignores the `task_id` filter, so the status of a task in flight is read from its details."""
    world = finished_world(5)
    task_id = world.create()
    with serve(world, Behaviour(record_shape="older", task_id_ignored=True)) as emulator:
        settings = settings_for(emulator, database_url)
        for _ in range(2):
            run_sync(settings)
            world.advance(dt.timedelta(hours=5))
        world.start(task_id)
        for _ in range(3):
            world.advance(dt.timedelta(seconds=1))
            world.finish(world.create())
        run_sync(settings)
        started = (world.tasks[task_id].started_at, None, None)
        assert stored_times(database_url)[task_id] == started
        assert run_sync(settings, FULL).updated == 0
        assert stored_times(database_url)[task_id] == started


LISTED = {**dict.fromkeys(ADDABLE), "status": "SUCCESS", "extra": {"a": 1}, "url": "u"}


def test_details_with_another_status_are_ignored():
    assert merge_detail(LISTED, {"status": "FAILURE", "total_time_sec": 3.5}) == LISTED
    assert only_in_detail(LISTED, {"status": "FAILURE", "total_time_sec": 3.5}) is None


def test_details_add_only_what_the_list_omits():
    detail = {"status": "SUCCESS", "url": "v", "total_time_sec": 3.5, "extra": {"a": 2, "b": 3}}
    remainder = {"status": "SUCCESS", "total_time_sec": 3.5, "extra": {"b": 3}}
    assert only_in_detail(LISTED, detail) == remainder
    assert merge_detail(LISTED, remainder) == {**LISTED, "total_time_sec": 3.5, "extra": {"a": 1, "b": 3}}


def test_values_for_columns_of_a_newer_release_stay_in_the_detail(database_url):
    """A downgrade drops a column, but not what `tasks.detail` has for it."""
    world = finished_world(20)
    with serve(world, Behaviour(record_shape="older")) as emulator:
        settings = settings_for(emulator, database_url)
        run_sync(settings)
        with writing(database_url) as connection, connection.begin():
            for task_id, detail in connection.execute(sa.select(TASKS.c.task_id, TASKS.c.detail)).all():
                values = {TASKS.c.detail: {**detail, "resolution": 1080}}
                connection.execute(sa.update(TASKS).where(TASKS.c.task_id == task_id).values(values))
        emulator.behaviour.extra_fields = {"colour": "blue"}
        assert run_sync(settings, FULL).updated == 20
    with writing(database_url) as connection, connection.begin():
        columns = sa.select(TASKS.c.task_id, TASKS.c.status, TASKS.c.detail, TASKS.c.total_time_sec)
        before = connection.execute(columns).all()
        # A response of the detail endpoint that lacks the times, and has something new.
        payloads = [
            task_payload(row.task_id, {"status": row.status, "extra": {"shard": 5}}) for row in before
        ]
        add_details(connection, payloads, dt.datetime.now(dt.UTC))
        after = connection.execute(columns).all()
    assert {row.detail["resolution"] for row in (*before, *after)} == {1080}
    assert [row.total_time_sec for row in after] == [row.total_time_sec for row in before]
    assert {row.detail["extra"]["shard"] for row in after} == {5}
