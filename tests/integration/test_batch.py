"""Batches of a first load: tasks that cannot be stored yet are not looked up, and all others are."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from support.worlds import a_world, query, settings_for, stored_states, true_states

from etl.emulator import Behaviour, serve
from etl.sync import batch
from etl.sync.api import run_sync
from etl.sync.options import SyncOptions

if TYPE_CHECKING:
    from collections.abc import Callable

FULL = SyncOptions(is_full=True, with_results=False)
EVENTS = "SELECT event, count(*) FROM task_history GROUP BY event"


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """Let a batch have one page."""
    monkeypatch.setattr(batch, "BATCH_ROWS", 20)


def lookups_of(run: Callable[[], object]) -> int:
    """Return the number of queries for stored hashes during a run."""
    found = []

    def note(_connection, _cursor, statement, *_rest) -> None:
        if statement.lstrip().startswith("SELECT tasks.task_id, CASE"):
            found.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        run()
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    return len(found)


def test_a_first_load_in_order_looks_nothing_up_and_the_next_looks_up_every_batch(database_url):
    world = a_world(200)
    with serve(world, Behaviour(page_cap=20)) as emulator:
        settings = settings_for(emulator, database_url)
        assert lookups_of(lambda: run_sync(settings, FULL)) == 0
        assert lookups_of(lambda: run_sync(settings, FULL)) >= 5
    assert stored_states(database_url) == true_states(world)
    assert query(database_url, EVENTS) == [("discovered", 200)]


@pytest.mark.parametrize(
    "behaviour",
    [
        Behaviour(page_cap=20, ordering_ignored=True),
        Behaviour(page_cap=20, duplicates="across"),
        Behaviour(page_cap=20, duplicates="page"),
        Behaviour(page_cap=20, ordering_ignored=True, ties_at_random=True),
    ],
)
def test_a_task_that_a_first_load_sees_again_is_stored_once(database_url, behaviour):
    world = a_world(200)
    with serve(world, behaviour) as emulator:
        summary = run_sync(settings_for(emulator, database_url), FULL)
    assert summary.inserted == 200
    assert stored_states(database_url) == true_states(world)
    assert query(database_url, EVENTS) == [("discovered", 200)]


def test_tasks_that_are_all_marked_as_removed_are_updated_when_they_reappear(database_url):
    world = a_world(200)
    emptied = a_world(200)
    for task_id in list(emptied.tasks):
        emptied.delete(task_id)
    for shown in (world, emptied, world):
        with serve(shown, Behaviour(page_cap=20)) as emulator:
            options = dataclasses.replace(FULL, allow_mass_removal=True)
            summary = run_sync(settings_for(emulator, database_url), options)
        assert stored_states(database_url) == true_states(shown)
    assert (summary.inserted, summary.updated) == (0, 200)


def test_a_load_that_was_interrupted_looks_up_what_it_had_stored(database_url, monkeypatch):
    world = a_world(200)
    with serve(world, Behaviour(page_cap=20)) as emulator:
        settings = settings_for(emulator, database_url)
        with monkeypatch.context() as patch:
            flush, calls = batch.BatchLoader.flush, []

            def fails_later(self) -> None:
                calls.append(self)
                if len(calls) == 4:
                    raise KeyboardInterrupt
                flush(self)

            patch.setattr(batch.BatchLoader, "flush", fails_later)
            with pytest.raises(KeyboardInterrupt):
                run_sync(settings, FULL)
        before = query(database_url, "SELECT count(*) FROM tasks")[0][0]
        assert 0 < before < 200
        summary = run_sync(settings, FULL)
    assert summary.inserted == 200 - before
    assert stored_states(database_url) == true_states(world)
