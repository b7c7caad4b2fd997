"""One copy holds one account (promise P11): it may have many clients, but another account is refused."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import random
from typing import TYPE_CHECKING

import pytest
from support.grids import one_in
from support.stored import as_instant
from support.worlds import a_world, query, settings_for, stored_states, true_states

from etl.database import reading
from etl.emulator import TERMINAL, Behaviour, Fault, serve
from etl.errors import AccountChanged, MassRemoval, RequestRefused
from etl.extract.body import BodyLimit
from etl.sync.api import run_sync
from etl.sync.options import SyncOptions
from etl.sync.status import read_status

if TYPE_CHECKING:
    from etl.emulator import World

TASKS_ALONE = SyncOptions(with_results=False)
FULL = SyncOptions(is_full=True, with_results=False)
SWITCH = SyncOptions(allow_account_change=True, with_results=False)
TABLES = ("tasks", "task_history", "task_results", "subtitles", "detections")


def add_task(world: World, client_id: int | None) -> str:
    data = {"task_name": "transcription"} | ({} if client_id is None else {"client_id": client_id})
    task_id = world.create(task_data=data)
    world.start(task_id)
    return task_id


def world_of(clients: list[int | None], tasks: int = 60) -> World:
    """Return a world with tasks of these clients in random order, seeded by the first client."""
    world, dice = a_world(0, seed=100 + (clients[0] or 0)), random.Random(3)
    for number in range(tasks):
        world.advance(dt.timedelta(minutes=7))
        task_id = add_task(world, clients[number] if number < len(clients) else dice.choice(clients))
        if number % 3:
            world.finish(task_id)
    return world


def known_clients(database_url: str) -> list[int]:
    return json.loads(query(database_url, "SELECT CAST(client_ids AS TEXT) FROM sync_state")[0][0] or "[]")


def dump(database_url: str) -> dict[str, list[tuple]]:
    return {table: sorted(query(database_url, f"SELECT * FROM {table}"), key=repr) for table in TABLES}


@one_in(2, "page_cap, shape", [1, 7, 50], ["present", "older"])
def test_first_sync_accepts_account_with_many_clients(database_url, page_cap, shape):
    world = world_of([1, 2, 3, 4, 5, None])
    with serve(world, Behaviour(page_cap=page_cap, record_shape=shape)) as emulator:
        run_sync(settings_for(emulator, database_url), TASKS_ALONE)
        assert stored_states(database_url) == true_states(world)
        assert known_clients(database_url) == [1, 2, 3, 4, 5]


@one_in(
    2,
    "shape, is_ignored, meaning",
    ["present", "older"],
    [False, True],
    ["gte", "day", "ignored"],
)
def test_new_client_ids_belong_to_the_same_account(database_url, shape, is_ignored, meaning):
    """Even if the list has no times, or ignores the `task_id` filter."""
    world = world_of([1])
    behaviour = Behaviour(record_shape=shape, task_id_ignored=is_ignored, date_created=meaning)
    with serve(world, behaviour) as emulator:
        settings = settings_for(emulator, database_url)
        run_sync(settings, TASKS_ALONE)
        for client_id in (2, None, 3):
            world.advance(dt.timedelta(hours=2))
            add_task(world, client_id)
            run_sync(settings, TASKS_ALONE)
            assert stored_states(database_url) == true_states(world)


@pytest.mark.parametrize("refusal", [None, 400, 404, 500])
def test_new_client_is_accepted_after_latest_tasks_were_deleted(database_url, refusal):
    """The tasks that a sync would check are gone, but older ones remain, even if a long page is refused."""
    world = world_of([1], tasks=80)
    for task in list(world.tasks.values()):
        if task.status not in TERMINAL:
            world.finish(task.task_id)
    with serve(world, Behaviour(page_refusal=refusal or 400)) as emulator:
        settings = settings_for(emulator, database_url, retry_for=dt.timedelta(seconds=1))
        run_sync(settings, TASKS_ALONE)
        by_start = sorted(world.tasks.values(), key=lambda task: task.started_at)
        by_id = sorted(world.tasks)
        for task_id in {task.task_id for task in by_start[-3:]} | {*by_id[:3], *by_id[-3:]}:
            world.delete(task_id)
        world.advance(dt.timedelta(hours=2))
        new = add_task(world, 9)
        emulator.behaviour.page_limit = refusal and 40
        run_sync(settings, TASKS_ALONE)
        assert new in stored_states(database_url)


def test_stored_task_with_undecodable_details_does_not_fail_the_account_check(database_url):
    world = world_of([1])
    with serve(world, Behaviour(task_id_ignored=True)) as emulator:
        settings = settings_for(emulator, database_url, retry_for=dt.timedelta(seconds=0.5))
        run_sync(settings, TASKS_ALONE)
        latest = max(world.tasks.values(), key=lambda task: task.started_at)
        world.advance(dt.timedelta(hours=2))
        add_task(world, 2)
        add_task(world, 2)
        emulator.inject(Fault("truncated_json", times=1000, match=latest.task_id))
        run_sync(settings, TASKS_ALONE)
        assert stored_states(database_url) == true_states(world)


def test_pages_that_are_too_large_do_not_fail_the_account_check(database_url, monkeypatch):
    """The server ignores the `task_id` filter, and only the new task fits on a page of its own."""
    monkeypatch.setattr("etl.extract.client.PAGE_LIMIT", BodyLimit(100_000, 1_000_000))
    world = world_of([1])
    with serve(world, Behaviour(task_id_ignored=True)) as emulator:
        settings = settings_for(emulator, database_url)
        run_sync(settings, TASKS_ALONE)
        for _ in range(2):
            world.advance(dt.timedelta(hours=2))
            world.start(world.create(task_data={"task_name": "nsfw", "client_id": 2, "url": "u" * 60_000}))
        run_sync(settings, TASKS_ALONE)
        assert stored_states(database_url) == true_states(world)


@pytest.mark.parametrize("clients", [([1], [2]), ([1], [None]), ([None], [2]), ([None], [None])])
def test_other_account_is_refused_with_or_without_client_ids(database_url, clients):
    ours, theirs = clients
    with serve(world_of(ours)) as emulator:
        run_sync(settings_for(emulator, database_url), TASKS_ALONE)
    before = dump(database_url)
    other = a_world(0, seed=8)
    other.advance(dt.timedelta(days=3))
    for _ in range(20):
        add_task(other, theirs[0])
    with serve(other) as emulator:
        for options in (TASKS_ALONE, FULL, SyncOptions(status="STARTED", with_results=False)):
            with pytest.raises(AccountChanged) as caught:
                run_sync(settings_for(emulator, database_url), options)
            shown = [
                f"client {each}" if each else "an account without client ids" for each in (*ours, *theirs)
            ]
            assert f"the tasks of {shown[0]}, but the API key belongs to {shown[1]}; " in str(caught.value)
    assert dump(database_url) == before


def test_interrupted_first_sync_accepts_new_client(database_url):
    world = world_of([1, 2, 3], tasks=90)
    with serve(world, Behaviour(page_cap=10)) as emulator:
        settings = settings_for(emulator, database_url)
        emulator.behaviour.before_request = lambda _: setattr(
            emulator.behaviour, "feature_disabled", len(emulator.requests) > 6
        )
        with pytest.raises(Exception, match="HTTP 422"):
            run_sync(settings, TASKS_ALONE)
        emulator.behaviour.before_request, emulator.behaviour.feature_disabled = None, False
        world.advance(dt.timedelta(minutes=5))
        add_task(world, 4)
        run_sync(settings, TASKS_ALONE)
        assert stored_states(database_url) == true_states(world)


def test_account_switch_is_permanent(database_url):
    ours, theirs = world_of([1]), world_of([2], tasks=40)
    theirs.advance(dt.timedelta(days=1))
    with serve(ours) as one, serve(theirs) as two:
        run_sync(settings_for(one, database_url))
        summary = run_sync(
            settings_for(two, database_url), SyncOptions(allow_account_change=True, with_results=False)
        )
        assert (summary.mode, summary.removed, summary.inserted) == ("full", 60, 40)
        for _ in range(2):
            with pytest.raises(AccountChanged, match=r"client 2, but the API key belongs to client 1"):
                run_sync(settings_for(one, database_url))
            theirs.advance(dt.timedelta(hours=1))
            ours.advance(dt.timedelta(hours=1))
            add_task(theirs, 2)
            summary = run_sync(settings_for(two, database_url), TASKS_ALONE)
            assert (summary.removed, summary.audit) == (0, "agrees")
            assert stored_states(database_url) == true_states(theirs)
        assert run_sync(settings_for(two, database_url), FULL).removed == 0
    events = query(database_url, "SELECT event, count(*) FROM task_history GROUP BY event ORDER BY event")
    assert dict(events)["removed"] == 60
    assert "reappeared" not in dict(events)
    assert known_clients(database_url) == [2]


def test_switched_sync_requests_no_tasks_of_old_account(database_url):
    ours, theirs = world_of([1]), world_of([2], tasks=10)
    with serve(ours) as one, serve(theirs) as two:
        run_sync(settings_for(one, database_url, max_results=5))
        run_sync(settings_for(two, database_url), SyncOptions(allow_account_change=True))
        # The account check itself asked for ids of the old account; later requests must not.
        details = {request.path.rpartition("/")[2] for request in two.requests}
        two.reset_log()
        run_sync(settings_for(two, database_url), SyncOptions(is_full=True))
        details |= {request.path.rpartition("/")[2] for request in two.requests}
        asked = {request.query.get("task_id", "") for request in two.requests}
        assert (details | asked).isdisjoint(ours.tasks)


def test_switching_back_restores_the_copy(database_url):
    """Archived results are not requested again; missing ones are."""
    ours, theirs = world_of([1]), world_of([2], tasks=10)
    with serve(ours) as one, serve(theirs) as two:
        settings = settings_for(one, database_url, max_results=5)
        run_sync(settings)
        first = {row[0] for row in query(database_url, "SELECT task_id FROM task_results")}
        run_sync(settings_for(two, database_url), SWITCH)
        one.reset_log()
        run_sync(settings_for(one, database_url), SyncOptions(allow_account_change=True))
        assert stored_states(database_url) == true_states(ours)
        details = {request.path.rpartition("/")[2] for request in one.requests} & ours.tasks.keys()
        finished = {task.task_id for task in ours.tasks.values() if task.status == "SUCCESS"}
        assert details == finished - first
    assert query(database_url, "SELECT count(*) FROM tasks WHERE removed_at IS NULL") == [(60,)]


def test_unavailable_results_of_old_account_expire_when_the_account_is_switched(database_url):
    """They can never be fetched, so they are no longer pending. Switching back requests them again."""
    ours, theirs = world_of([1]), world_of([2], tasks=10)
    hidden = sorted(task.task_id for task in ours.tasks.values() if task.status == "SUCCESS")[:3]
    for task_id in hidden:
        ours.tasks[task_id].own_result = {}
    with serve(ours) as one, serve(theirs) as two:
        assert run_sync(settings_for(one, database_url)).results_waiting == 3
        summary = run_sync(settings_for(two, database_url), SyncOptions(allow_account_change=True))
        assert (summary.results_waiting, summary.first_result_lost_at) == (0, None)
        with reading(database_url) as connection:
            assert read_status(connection).results_waiting == 0
        unarchived = "SELECT task_id, state FROM task_results WHERE state <> 'archived' ORDER BY task_id"
        assert query(database_url, unarchived) == [(task_id, "expired") for task_id in hidden]
        for task_id in hidden:
            ours.tasks[task_id].own_result = None
        run_sync(settings_for(one, database_url), SyncOptions(allow_account_change=True))
        assert query(database_url, unarchived) == []


def test_interrupted_switch_is_completed_by_next_sync(database_url):
    ours, theirs = world_of([1]), world_of([2], tasks=40)
    with serve(ours) as one, serve(theirs) as two:
        run_sync(settings_for(one, database_url), TASKS_ALONE)
        two.behaviour.before_request = lambda request: setattr(
            two.behaviour, "feature_disabled", "ordering" in request.query
        )
        with pytest.raises(Exception, match="HTTP 422"):
            run_sync(settings_for(two, database_url), SWITCH)
        assert query(database_url, "SELECT count(*) FROM tasks WHERE removed_at IS NULL") == [(0,)]
        with pytest.raises(AccountChanged):
            run_sync(settings_for(one, database_url), TASKS_ALONE)
        two.behaviour.before_request, two.behaviour.feature_disabled = None, False
        assert run_sync(settings_for(two, database_url), TASKS_ALONE).mode == "full"
        assert stored_states(database_url) == true_states(theirs)


@pytest.mark.parametrize("has_ended", [True, False])
def test_row_of_a_switched_sync_has_the_mode_and_watermarks_of_the_new_account(database_url, has_ended):
    ours, theirs = world_of([1]), world_of([2], tasks=40)
    with serve(ours) as one, serve(theirs) as two:
        run_sync(settings_for(one, database_url), TASKS_ALONE)
        if not has_ended:
            two.behaviour.before_request = lambda request: setattr(
                two.behaviour, "feature_disabled", "ordering" in request.query
            )
        with contextlib.nullcontext() if has_ended else pytest.raises(RequestRefused):
            run_sync(settings_for(two, database_url), SWITCH)
    columns = "SELECT mode, watermark_before, watermark_after FROM sync_runs ORDER BY run_id DESC LIMIT 1"
    ((mode, before, after),) = query(database_url, columns)
    assert (mode, before, as_instant(after)) == ("full", None, theirs.now if has_ended else None)
    assert query(database_url, "SELECT watermark FROM sync_state") == [(after,)]


def test_dry_run_does_not_switch_accounts(database_url):
    ours, theirs = world_of([1]), world_of([2], tasks=40)
    with serve(ours) as one, serve(theirs) as two:
        run_sync(settings_for(one, database_url), TASKS_ALONE)
        before = dump(database_url)
        dry = SyncOptions(allow_account_change=True, with_results=False, dry_run=True)
        summary = run_sync(settings_for(two, database_url), dry)
        assert (summary.inserted, summary.removed) == (40, 60)
        assert dump(database_url) == before
        assert known_clients(database_url) == [1]


def test_allow_account_change_has_no_effect_for_same_account(database_url):
    world = world_of([1])
    with serve(world) as emulator:
        settings = settings_for(emulator, database_url)
        run_sync(settings, TASKS_ALONE)
        world.advance(dt.timedelta(hours=1))
        add_task(world, 2)
        summary = run_sync(settings, SWITCH)
        assert (summary.mode, summary.removed) == ("incremental", 0)
        assert stored_states(database_url) == true_states(world)


def test_allow_account_change_does_not_allow_mass_removal(database_url):
    world = world_of([1], tasks=100)
    with serve(world) as emulator:
        settings = settings_for(emulator, database_url)
        run_sync(settings, TASKS_ALONE)
        for task_id in list(world.tasks)[:80]:
            world.delete(task_id)
        with pytest.raises(MassRemoval):
            run_sync(settings, SyncOptions(is_full=True, allow_account_change=True, with_results=False))


def test_records_rejected_before_switch_do_not_skew_count_audit(database_url, caplog):
    ours, theirs = world_of([1]), world_of([2], tasks=40)
    ours.add_raw("00000000-0000-4000-8000-000000000001", b'{"status":"SUCCESS"}')
    with serve(ours) as one, serve(theirs) as two:
        run_sync(settings_for(one, database_url), TASKS_ALONE)
        run_sync(settings_for(two, database_url), SWITCH)
        assert "count is off" not in caplog.text
        assert run_sync(settings_for(two, database_url), TASKS_ALONE).audit == "agrees"
