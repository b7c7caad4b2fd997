"""P8: the cost of an incremental sync depends on what changed, not on the number of tasks."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from support.worlds import finished_world, settings_for, stored_states, true_states

from etl.emulator import Behaviour, serve
from etl.sync.api import run_sync
from etl.sync.options import SyncOptions

if TYPE_CHECKING:
    from collections.abc import Iterator


TASKS_ALONE = SyncOptions(with_results=False)
BOOKKEEPING = {"sync_runs", "sync_state"}
_WRITE = re.compile(r"\s*(?:INSERT INTO|COPY|UPDATE|DELETE FROM) (\w+)")


@contextlib.contextmanager
def counting_rows() -> Iterator[Counter[str]]:
    """Count the rows written to each permanent table."""
    rows: Counter[str] = Counter()

    def count(_connection, cursor, statement, *_rest) -> None:
        match = _WRITE.match(statement)
        if match and match[1] != "seen_task_ids":
            rows[match[1]] += max(0, cursor.rowcount)

    event.listen(Engine, "after_cursor_execute", count)
    try:
        yield rows
    finally:
        event.remove(Engine, "after_cursor_execute", count)


def costs(database_url: str, tasks: int, meaning: str) -> dict[str, tuple[int, Counter[str]]]:
    """Measure requests and rows of syncs after which nothing, and ten things, had changed."""
    world = finished_world(tasks)
    found = {}
    with serve(world, Behaviour(date_created=meaning)) as emulator:
        settings = settings_for(emulator, database_url)
        run_sync(settings, TASKS_ALONE)
        for changes in ("nothing", "ten"):
            if changes == "ten":
                for number in range(10):
                    task_id = world.create(created_at=world.now)
                    (world.start if number % 2 else world.finish)(task_id)
            with counting_rows() as rows:
                summary = run_sync(settings, TASKS_ALONE)
            found[changes] = (summary.requests, +rows)
            assert stored_states(database_url) == true_states(world)
    return found


@pytest.mark.parametrize("meaning, most", [("gte", 4), ("day", 4), ("ignored", 5)])
def test_sync_without_changes_needs_few_requests_and_no_writes(database_url, meaning, most):
    requests, rows = costs(database_url, 3000, meaning)["nothing"]
    assert requests <= most
    assert rows.keys() <= BOOKKEEPING


@pytest.mark.parametrize("meaning, most", [("gte", 4), ("ignored", 5)])
def test_empty_window_needs_no_more_requests(database_url, meaning, most):
    world = finished_world(300)
    world.advance(dt.timedelta(days=3))
    with serve(world, Behaviour(date_created=meaning)) as emulator:
        settings = settings_for(emulator, database_url)
        run_sync(settings, TASKS_ALONE)
        assert run_sync(settings, TASKS_ALONE).requests <= most


def test_sync_cost_does_not_depend_on_history_size(databases):
    found = []
    for tasks in (1000, 10_000):
        with databases.empty() as url:
            found.append(costs(url, tasks, "gte"))
    assert found[0] == found[1]
    _, rows = found[0]["ten"]
    assert (rows["tasks"], rows["task_history"]) == (10, 10)
    assert rows.keys() == BOOKKEEPING | {"tasks", "task_history"}


@pytest.mark.slow
def test_sync_cost_is_the_same_with_100_000_tasks(databases):
    found = []
    for tasks in (1000, 100_000):
        with databases.empty() as url:
            found.append(costs(url, tasks, "gte"))
    assert found[0] == found[1]


def test_expired_results_are_not_requested_again(database_url):
    world = finished_world(200)
    world.advance(dt.timedelta(days=60))
    with serve(world) as emulator:
        settings = settings_for(emulator, database_url)
        run_sync(settings)
        with counting_rows() as rows:
            summary = run_sync(settings)
    assert summary.requests <= 4
    assert (+rows).keys() <= BOOKKEEPING
