"""When results are retried: soon, then less often, and without delaying the sync."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING

import pytest
from support.grids import one_in
from support.worlds import a_world, finished_world, query, settings_for

from etl.emulator import Behaviour, Fault, serve
from etl.errors import Unreachable
from etl.load.results import MAX_WAIT
from etl.sync.api import run_sync
from etl.sync.archive import ALLOWED_FAILURES
from etl.sync.options import SyncOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.emulator import Emulator, World

FULL = SyncOptions(is_full=True)
MINUTE = dt.timedelta(minutes=1)
SECOND = dt.timedelta(seconds=1)


@pytest.fixture
def world() -> World:
    world = finished_world(20)
    for task in list(world.tasks.values()):
        if task.status == "REVOKED":
            world.delete(task.task_id)
    return world


@pytest.fixture
def emulator(world) -> Iterator[Emulator]:
    with serve(world, Behaviour()) as emulator:
        yield emulator


def asked(emulator: Emulator) -> list[str]:
    """Return the ids of tasks whose details were requested since the last call."""
    found = [request.path.rpartition("/")[2] for request in emulator.requests if "tasks/" in request.path]
    emulator.reset_log()
    return found


def states(database_url: str) -> dict[str, str]:
    return dict(query(database_url, "SELECT task_id, state FROM task_results"))


def hide(world: World, number: int = 1) -> list[str]:
    """Hide the results of some tasks, as if they were not available yet."""
    hidden = sorted(world.tasks)[:number]
    for task_id in hidden:
        world.tasks[task_id].own_result = {}
    return hidden


def test_unavailable_result_is_retried_at_doubling_intervals(world, emulator, database_url):
    (hidden,) = hide(world)
    settings = settings_for(emulator, database_url)
    run_sync(settings)
    assert hidden in asked(emulator)
    wait = MINUTE
    for _ in range(13):
        world.advance(wait - SECOND)
        run_sync(settings)
        assert asked(emulator) == []
        world.advance(2 * SECOND)
        run_sync(settings)
        assert asked(emulator) == [hidden]
        wait = min(2 * wait, MAX_WAIT)
    world.tasks[hidden].own_result = None
    world.advance(MAX_WAIT + SECOND)
    assert run_sync(settings).results_archived == 1


@pytest.mark.parametrize("answer", [{}, None])
def test_full_sync_retries_all_unavailable_results(world, emulator, database_url, answer):
    hidden = hide(world, 3)
    settings = settings_for(emulator, database_url)
    run_sync(settings)
    asked(emulator)
    before = query(database_url, "SELECT * FROM task_results ORDER BY task_id")
    run_sync(settings, FULL)
    assert sorted(asked(emulator)) == hidden
    assert query(database_url, "SELECT * FROM task_results ORDER BY task_id") == before
    for task_id in hidden:
        world.tasks[task_id].own_result = answer
    run_sync(settings, FULL)
    assert (set(states(database_url).values()) == {"archived"}) == (answer is None)


@one_in(3, "kind", ["500", "503", "truncated_json", "html_200", "reset"])
def test_result_is_retried_less_often_from_third_failure_on(world, emulator, database_url, kind):
    broken = min(world.tasks)
    emulator.inject(Fault(kind, times=10_000, match=broken))
    settings = settings_for(emulator, database_url, retry_for=SECOND)
    for _ in range(3):
        run_sync(settings)
        assert set(asked(emulator)) >= {broken}
    assert states(database_url)[broken] == "unavailable"
    wait = MINUTE
    for _ in range(3):
        world.advance(wait - SECOND)
        run_sync(settings)
        assert asked(emulator) == []
        world.advance(2 * SECOND)
        run_sync(settings)
        assert set(asked(emulator)) == {broken}
        wait *= 2
    emulator.behaviour.faults.clear()
    run_sync(settings, FULL)
    assert states(database_url)[broken] == "archived"


def test_failures_do_not_lengthen_intervals_of_unavailable_results(world, emulator, database_url):
    (hidden,) = hide(world)
    settings = settings_for(emulator, database_url, retry_for=SECOND)
    emulator.inject(Fault("500", times=10_000, match=hidden))
    for _ in range(2):
        run_sync(settings)
    emulator.behaviour.faults.clear()
    run_sync(settings)
    asked(emulator)
    world.advance(MINUTE + SECOND)
    run_sync(settings)
    assert asked(emulator) == [hidden]


def test_broken_result_does_not_use_the_whole_retry_time(world, emulator, database_url):
    emulator.inject(Fault("500", times=10_000, match=min(world.tasks)))
    start = time.monotonic()
    summary = run_sync(settings_for(emulator, database_url, retry_for=dt.timedelta(seconds=60)))
    assert time.monotonic() - start < 20
    assert summary.results_archived == len(world.tasks) - 1


def test_broken_results_do_not_delay_the_sync_or_other_results(database_url):
    """The broken results are the first ones in the order of their deletion."""
    world = finished_world(60)
    finished = [task for task in world.tasks.values() if task.completed_at and task.status != "REVOKED"]
    finished.sort(key=lambda task: task.completed_at)
    broken = {task.task_id for task in finished[:12]}
    with serve(world, Behaviour()) as emulator:
        for task_id in broken:
            emulator.inject(Fault("500", times=10_000, match=task_id))
        settings = settings_for(emulator, database_url, retry_for=2 * SECOND)
        start = time.monotonic()
        for _ in range(4):
            run_sync(settings)
        assert time.monotonic() - start < 60
        found = states(database_url)
        assert {task_id for task_id, state in found.items() if state == "archived"} == {
            task.task_id for task in finished
        } - broken


def test_sync_fails_but_keeps_tasks_if_every_result_fails(world, emulator, database_url):
    emulator.inject(Fault("500", times=10_000, match="detail"))
    with pytest.raises(Unreachable, match="requests for results keep failing"):
        run_sync(settings_for(emulator, database_url, retry_for=SECOND))
    assert query(database_url, "SELECT count(*) FROM tasks") == [(len(world.tasks),)]
    emulator.behaviour.faults.clear()
    run_sync(settings_for(emulator, database_url))
    assert set(states(database_url).values()) == {"archived"}


@pytest.mark.parametrize("number", [1, 4, 9])
def test_results_that_always_fail_do_not_fail_every_sync(database_url, number):
    """No result has ever been archived, so it takes some syncs to tell them from a server that fails."""
    world = finished_world(20)
    finished = [task.task_id for task in world.tasks.values() if task.status != "REVOKED"]
    for task_id in set(world.tasks) - set(finished[:number]):
        world.delete(task_id)
    with serve(world, Behaviour()) as emulator:
        emulator.inject(Fault("500", times=10_000, match="detail"))
        settings = settings_for(emulator, database_url, retry_for=SECOND)
        failed = 0
        for _ in range(8):
            try:
                run_sync(settings)
            except Unreachable:
                failed += 1
            else:
                break
        assert failed <= 6
        assert query(database_url, "SELECT count(*) FROM task_results WHERE failures > 0") == [(number,)]
        run_sync(settings)
        emulator.behaviour.faults.clear()
        run_sync(settings, FULL)
        assert set(states(database_url).values()) == {"archived"}


def failures(database_url: str) -> list[int]:
    return [row[0] for row in query(database_url, "SELECT failures FROM task_results ORDER BY failures")]


def test_requests_that_failed_are_counted_even_if_every_result_fails(emulator, database_url):
    """Otherwise, the same few results would be the first ones in every sync."""
    emulator.inject(Fault("500", times=10_000, match="detail"))
    settings = settings_for(emulator, database_url, retry_for=SECOND)
    for runs in (1, 2):
        with pytest.raises(Unreachable):
            run_sync(settings)
        assert failures(database_url) == [1] * runs * ALLOWED_FAILURES


@pytest.mark.parametrize("number", [1, ALLOWED_FAILURES])
def test_few_broken_results_do_not_fail_syncs_although_none_is_archived(database_url, number):
    """They are no evidence that the API is down, and there is no other result to request."""
    world = a_world(0)
    for _ in range(number):
        world.finish(world.create())
    with serve(world, Behaviour()) as emulator:
        emulator.inject(Fault("500", times=10_000, match="detail"))
        settings = settings_for(emulator, database_url, retry_for=SECOND)
        for attempts in (1, 2, 3):
            assert run_sync(settings).status == "succeeded"
            assert failures(database_url) == [attempts] * number
        asked(emulator)
        run_sync(settings)
        assert asked(emulator) == []


def test_one_more_result_shows_that_only_the_first_ones_are_broken(database_url):
    """The first results all fail, and no result is archived yet, but another one can be fetched."""
    world = a_world(0)
    ids = [world.create() for _ in range(ALLOWED_FAILURES + 1)]
    for task_id in ids:
        world.advance(MINUTE)
        world.finish(task_id)
    with serve(world, Behaviour()) as emulator:
        for task_id in ids[:-1]:
            emulator.inject(Fault("500", times=10_000, match=task_id))
        summary = run_sync(settings_for(emulator, database_url, retry_for=SECOND))
        assert summary.results_archived == 1
        assert failures(database_url) == [0] + [1] * ALLOWED_FAILURES


def test_archived_results_that_are_requested_again_do_not_show_that_the_api_is_down(database_url):
    world = a_world(0)
    ids = [world.create() for _ in range(ALLOWED_FAILURES)]
    for task_id in ids:
        world.finish(task_id)
    with serve(world, Behaviour()) as emulator:
        settings = settings_for(emulator, database_url, retry_for=SECOND)
        run_sync(settings)
        for status in ("STARTED", "SUCCESS"):
            for task_id in ids:
                world.tasks[task_id].status, world.tasks[task_id].rendered = status, None
            run_sync(settings, SyncOptions(is_full=True, with_results=False))
        emulator.inject(Fault("500", times=10_000, match="detail"))
        assert run_sync(settings).status == "succeeded"
        assert failures(database_url) == [1] * ALLOWED_FAILURES


def test_a_rate_limited_result_does_not_count_as_broken(emulator, database_url):
    """Retry-After of a 429 may be longer than the retry time of a broken result."""
    emulator.inject(Fault("429_seconds", times=3, seconds=4, match="detail"))
    run_sync(settings_for(emulator, database_url, retry_for=dt.timedelta(seconds=30)))
    assert set(states(database_url).values()) == {"archived"}
    assert query(database_url, "SELECT sum(failures) FROM task_results") == [(0,)]


def test_old_result_is_kept_until_a_new_one_is_available(database_url):
    world = a_world(0)
    task_id = world.create()
    world.start(task_id)
    world.fail(task_id)
    with serve(world, Behaviour()) as emulator:
        settings = settings_for(emulator, database_url)
        run_sync(settings)
        task = world.tasks[task_id]
        task.status, task.rendered, task.own_result = "SUCCESS", None, {}
        run_sync(settings, FULL)
        assert query(database_url, "SELECT state, kind FROM task_results") == [("archived", "failure")]
        task.own_result = None
        world.advance(MINUTE + SECOND)
        run_sync(settings)
        assert query(database_url, "SELECT state, kind FROM task_results") == [("archived", "transcription")]
        asked(emulator)
        world.advance(dt.timedelta(days=1))
        run_sync(settings)
        assert asked(emulator) == []


def test_errors_are_fetched_first_unless_results_expire_soon(database_url):
    world = finished_world(60)
    failed = {task.task_id for task in world.tasks.values() if task.status == "FAILURE"}
    assert 0 < len(failed) < 30
    with serve(world, Behaviour()) as emulator:
        run_sync(settings_for(emulator, database_url, max_results=len(failed)))
        assert states(database_url).keys() == failed
    world = finished_world(60)
    world.advance(dt.timedelta(days=9))
    with serve(world, Behaviour()) as emulator:
        soon = [
            task.task_id
            for task in sorted(world.tasks.values(), key=lambda task: task.completed_at or world.now)
            if task.status in {"SUCCESS", "FAILURE"} and world.now - task.completed_at > dt.timedelta(days=27)
        ]
        assert soon
        settings = settings_for(emulator, database_url, max_results=len(soon))
        run_sync(settings, SyncOptions(allow_account_change=True, allow_mass_removal=True))
        assert states(database_url).keys() >= set(soon)
