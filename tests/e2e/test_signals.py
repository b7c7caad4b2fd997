"""Signals and time limits: an exit code, one line, nothing lost, whatever a sync is doing."""

from __future__ import annotations

import json
import random
import signal
from typing import TYPE_CHECKING

import pytest
from support.dumps import miscounts, read_dump
from support.processes import Child, Moment, wait_until
from support.scenes import PROMPTLY, Scene, add_trigger, check_end
from support.worlds import a_world, query, stored_states, true_states

from etl.emulator import Behaviour, Fault, serve
from etl.sync.api import writing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.emulator import Emulator


SIGNALS = [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with serve(a_world(60), Behaviour(page_cap=10)) as emulator:
        yield emulator


def check_interruption(child: Child, number: int) -> None:
    """Interrupt it while it waits: it ends promptly, and as the signal says."""
    child.await_sleep()
    child.send(number)
    check_end(child.await_end(PROMPTLY), 128 + number, "interrupted")


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_interrupts_slow_request(scene, number):
    scene.emulator.behaviour.latency = 30
    child = scene.start("sync", retry_for="60s")
    wait_until(lambda: scene.emulator.requests, "the API is asked")
    check_interruption(child, number)
    assert scene.runs() == ["interrupted"]


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_interrupts_rate_limit_wait(scene, number):
    scene.emulator.inject(Fault("429_seconds", times=1000, after=3, seconds=30))
    child = scene.start("sync", retry_for="60s")
    wait_until(lambda: 429 in [request.status for request in scene.emulator.requests], "a limit is met")
    check_interruption(child, number)
    assert scene.runs() == ["interrupted"]


@pytest.mark.parametrize(
    "what, table",
    [("task_history (task_id, run_id", "task_history"), (" task_results (task_id, ", "task_results")],
)
@pytest.mark.parametrize("number", SIGNALS)
def test_signal_during_batch_load_is_atomic(scene, number, what, table):
    """The batches before it stay; this one is whole or not there."""
    ended = scene.run("sync", moment=Moment(what=what, number=2, signal=number))
    check_end(ended, 128 + number, "interrupted")
    assert scene.runs() == ["interrupted"]
    assert 10 <= scene.count(table) <= 50
    assert miscounts(read_dump(scene.database_url), "inserted") == []
    scene.check_truth()
    scene.check_that_the_next_sync_makes_it_whole()


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_interrupts_fetching_of_results(scene, number):
    scene.emulator.inject(Fault("slow", times=1000, after=25, seconds=30, match="detail"))
    child = scene.start("sync", retry_for="60s", constants={"etl.sync.archive.BATCH_RESULTS": 5})
    requests = lambda: [request.target for request in scene.emulator.requests]  # noqa: E731
    wait_until(lambda: requests().count("detail") > 25, "an answer is slow")
    check_interruption(child, number)
    assert scene.runs() == ["interrupted"]
    assert 10 <= scene.count("task_results") <= 25
    assert stored_states(scene.database_url) == true_states(scene.emulator.world)
    scene.check_truth()


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_interrupts_wait_for_lock(scene, number):
    with writing(scene.database_url):
        child = scene.start_waiting("sync", "--wait")
        check_interruption(child, number)


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_interrupts_watch_between_syncs(scene, number):
    child = scene.start("watch", "--every", "1h")
    wait_until(lambda: "sync finished" in child.said(), "the first sync ends")
    check_interruption(child, number)
    assert scene.runs() == ["succeeded"]


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_interrupts_running_postgres_statement(postgres_scene, number):
    add_trigger(postgres_scene.database_url, "UPDATE ON sync_state", "PERFORM pg_sleep(0.7)")
    child = postgres_scene.start("sync")
    dozing = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    wait_until(lambda: query(postgres_scene.database_url, dozing), "the server works")
    check_interruption(child, number)
    assert postgres_scene.runs() == ["interrupted"]


def test_timeout_stops_sync_cleanly(scene):
    assert scene.run("db", "upgrade").code == 0
    scene.emulator.behaviour.latency = 60
    ended = scene.run("sync", "--timeout", "2s", "--json", retry_for="60s")
    check_end(ended, 1, "timed out after 2.0 s (--timeout): what was loaded is kept")
    assert json.loads(ended.out)["status"] == "interrupted"
    assert scene.runs() == ["interrupted"]
    scene.emulator.behaviour.latency = 0
    scene.check_that_the_next_sync_makes_it_whole()


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("place", [3, 6])
def test_signal_around_commit_marks_run_interrupted(scene, place, is_after):
    moment = Moment(what="commit", number=place, is_after=is_after, signal=signal.SIGTERM)
    check_end(scene.run("sync", moment=moment), 143, "interrupted")
    assert scene.runs() == ["interrupted"]
    scene.check_truth()


@pytest.mark.parametrize("is_after", [False, True])
def test_signal_while_closing_failed_run_keeps_status(scene, is_after):
    scene.emulator.inject(Fault("401", times=1000, after=2))
    moment = Moment(what="error=", number=2, is_after=is_after, signal=signal.SIGTERM)
    ended = scene.run("sync", moment=moment)
    assert ended.code in {3, 143}, ended
    assert scene.runs() == ["failed"]


def test_signal_right_after_run_is_opened(scene):
    assert scene.run("db", "upgrade").code == 0
    moment = Moment(what="commit", is_after=True, signal=signal.SIGTERM)
    check_end(scene.run("sync", moment=moment), 143, "interrupted")
    assert scene.runs() == ["interrupted"]


@pytest.mark.slow
def test_signal_at_random_time(nursery, emulator, databases):
    """It may come before there is a handler, a run or a database, and after the run has been closed."""
    dice = random.Random(7)
    for _ in range(100):
        with databases.empty() as database_url:
            child = Scene(nursery, emulator, database_url).start("sync")
            ended = child.end_after(dice.uniform(0, 0.4), signal.SIGTERM)
            assert ended.code in {0, 143, -signal.SIGTERM}, ended
            assert len(ended.complaints) == (ended.code == 143), ended
            runs = [run["status"] for run in read_dump(database_url).runs]
            assert runs in ([], ["interrupted"], ["succeeded"]), ended
