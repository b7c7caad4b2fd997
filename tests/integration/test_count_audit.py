"""The count audit, and what `status` says about deleted tasks, if the API's count is unusable."""

from __future__ import annotations

import datetime as dt

import pytest
from support.worlds import a_world, settings_for, stored_states, true_states

from etl.database import reading
from etl.emulator import Behaviour, serve
from etl.sync.api import run_sync
from etl.sync.options import SyncOptions
from etl.sync.status import read_status

TASKS_ALONE = SyncOptions(with_results=False)


def deleted_waiting(database_url: str) -> int | None:
    with reading(database_url) as connection:
        return read_status(connection).deleted_waiting


@pytest.mark.parametrize("count", ["absent", "null"])
def test_number_of_deleted_tasks_is_unknown_without_a_usable_count(database_url, count):
    world = a_world(30)
    with serve(world, Behaviour(count_is=count)) as emulator:
        settings = settings_for(emulator, database_url)
        run_sync(settings, TASKS_ALONE)
        assert deleted_waiting(database_url) is None
        run_sync(settings, SyncOptions(status="SUCCESS", with_results=False))
        assert deleted_waiting(database_url) is None


def test_number_of_deleted_tasks_is_never_negative(database_url):
    """The error of an earlier count is larger than the number of remaining tasks."""
    world = a_world(30)
    with serve(world, Behaviour(count_is="wrong", count_error=-20)) as emulator:
        settings = settings_for(emulator, database_url, page_size=5)
        run_sync(settings, TASKS_ALONE)
        emulator.behaviour.count_is = "absent"
        for task_id in sorted(world.tasks)[5:]:
            world.delete(task_id)
        run_sync(settings, SyncOptions(is_full=True, allow_mass_removal=True, with_results=False))
        assert deleted_waiting(database_url) is None


@pytest.mark.parametrize("error", [0, -7, 7])
def test_first_usable_count_causes_one_complete_scan(database_url, error):
    """Its error is unknown, so it could hide missed tasks. No task is reported as missed or deleted."""
    world = a_world(60)
    with serve(world, Behaviour(count_is="absent")) as emulator:
        settings = settings_for(emulator, database_url)
        for _ in range(2):
            audit = run_sync(settings, TASKS_ALONE).audit
        assert audit == "the API returns no usable count, so there was a complete scan"
        emulator.behaviour.count_is, emulator.behaviour.count_error = "wrong", error
        late = world.create(created_at=world.now - dt.timedelta(days=200))
        world.set_status(late, "REVOKED")
        summary = run_sync(settings, TASKS_ALONE)
        assert summary.audit == "the last count was not usable, so there was a complete scan"
        assert stored_states(database_url) == true_states(world)
        assert run_sync(settings, TASKS_ALONE).audit == "agrees"
        assert deleted_waiting(database_url) == 0


def test_deleted_tasks_are_counted_until_they_are_marked(database_url):
    world = a_world(60)
    with serve(world, Behaviour()) as emulator:
        settings = settings_for(emulator, database_url)
        run_sync(settings, TASKS_ALONE)
        for task in [task for task in world.tasks.values() if task.status == "SUCCESS"][:3]:
            world.delete(task.task_id)
        run_sync(settings, TASKS_ALONE)
        assert deleted_waiting(database_url) == 3
