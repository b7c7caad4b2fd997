"""`sync --since`: which tasks are read, whatever the date filter means."""

from __future__ import annotations

import datetime as dt

import pytest
from support.worlds import NOW, a_world, settings_for, stored_states, true_states

from etl.emulator import Behaviour, serve
from etl.sync.api import run_sync
from etl.sync.options import SyncOptions

SINCE = NOW - dt.timedelta(days=2)
FILTERS = {
    "status": ("FAILURE", lambda task: task.status == "FAILURE"),
    "task_name": ("transcription", lambda task: task.task_name == "transcription"),
    "search": ("nudity", lambda task: "nudity" in str(task.task_data)),
}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("meaning", ["gte", "lte", "day", "exact", "ignored", "rejected"])
def test_since_with_a_filter_stores_no_task_that_does_not_match_it(sqlite_databases, name, meaning):
    """A date filter that does not find new tasks is left out: all tasks that match are then read."""
    value, matches = FILTERS[name]
    world = a_world()
    behaviour = Behaviour(page_cap=50, date_created=meaning)
    with sqlite_databases.migrated() as url, serve(world, behaviour) as emulator:
        settings = settings_for(emulator, url, date_filter=meaning)
        run_sync(settings, SyncOptions(since=SINCE, with_results=False, **{name: value}))
        stored = stored_states(url).keys()
    matching = [task for task in world.tasks.values() if matches(task)]
    recent = {task.task_id for task in matching if task.created_at >= SINCE}
    assert recent < {task.task_id for task in matching}
    if meaning in {"gte", "day"}:
        assert recent <= stored < {task.task_id for task in matching}
    else:
        assert stored == {task.task_id for task in matching}


@pytest.mark.parametrize("meaning", ["gte", "day", "ignored"])
def test_first_sync_with_since_also_reads_all_other_tasks_once(database_url, caplog, meaning):
    """Promise P1 holds for it, too."""
    world = a_world(300)
    with serve(world, Behaviour(page_cap=50, date_created=meaning)) as emulator:
        settings = settings_for(emulator, database_url)
        summary = run_sync(settings, SyncOptions(since=SINCE, with_results=False))
        assert stored_states(database_url) == true_states(world)
        # Once in the window, if it excludes none, and once in the scan; neighbouring pages overlap.
        assert summary.tasks_seen < 2.2 * len(world.tasks)
        assert (summary.mode, summary.watermark) == ("since", world.now)
        assert summary.audit == "no earlier sync was complete, so there was a complete scan"
        assert "missed" not in caplog.text
        world.advance(dt.timedelta(hours=1))
        assert run_sync(settings, SyncOptions(since=SINCE, with_results=False)).mode == "since"
        assert run_sync(settings, SyncOptions(with_results=False)).mode == "incremental"
        assert stored_states(database_url) == true_states(world)
