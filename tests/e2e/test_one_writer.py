"""P6: whoever writes during a sync waits or ends with 75, and whoever reads is in nobody's way."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.processes import Moment
from support.scenes import PROMPTLY, check_end
from support.worlds import a_world, query, stored_states, true_states

from etl.database import reading
from etl.emulator import Behaviour, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.emulator import Emulator


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with serve(a_world(60), Behaviour(page_cap=10)) as emulator:
        yield emulator


def test_lock_file_of_killed_sync_does_not_block_next(sqlite_scene):
    ended = sqlite_scene.run("sync", moment=Moment(what="task_history (task_id, run_id"))
    assert ended.code == -signal.SIGKILL
    assert Path(f"{sqlite_scene.database_url.removeprefix('sqlite:///')}.lock").exists()
    sqlite_scene.check_that_the_next_sync_makes_it_whole()
    assert sqlite_scene.runs() == ["interrupted", "succeeded"]


@pytest.mark.parametrize("command", [["sync"], ["db", "upgrade"]])
def test_second_writer_exits_75_immediately(scene, command):
    first = scene.halt_at("task_history (task_id, run_id")
    check_end(scene.start(*command).await_end(PROMPTLY), 75, "--wait")
    first.send(signal.SIGCONT)
    assert first.await_end().code == 0
    assert scene.runs() == ["succeeded"]


def test_sync_with_wait_starts_after_running_sync(scene):
    first = scene.halt_at("task_history (task_id, run_id")
    second = scene.start_waiting("sync", "--wait")
    first.send(signal.SIGCONT)
    assert [child.await_end().code for child in (first, second)] == [0, 0]
    assert scene.runs() == ["succeeded", "succeeded"]
    (_, end), (start, _) = query(
        scene.database_url, "SELECT started_at, finished_at FROM sync_runs ORDER BY 1"
    )
    assert start >= end
    scene.check_truth()


def test_long_reader_keeps_snapshot_and_does_not_block_sync(scene):
    """And sees one instant all the time."""
    scene.check_that_the_next_sync_makes_it_whole()
    added = [scene.emulator.world.create() for _ in range(3)]
    tasks = "SELECT count(*) FROM tasks"
    with reading(scene.database_url) as connection:
        assert connection.exec_driver_sql(tasks).scalar() == 60
        scene.check_that_the_next_sync_makes_it_whole()
        assert connection.exec_driver_sql(tasks).scalar() == 60
    assert scene.count("tasks") == 60 + len(added)


@pytest.mark.parametrize(
    "what", [" tasks (task_id, ", " subtitles (task_id, ", "UPDATE sync_state", "commit"]
)
def test_open_write_transaction_does_not_block_readers(scene, what):
    scene.check_that_the_next_sync_makes_it_whole()
    before = stored_states(scene.database_url)
    task_id = scene.emulator.world.create()
    scene.emulator.world.finish(task_id)
    child = scene.halt_at(what, 6 if what == "commit" else 1)
    ended = scene.start("status").await_end(PROMPTLY)
    assert (ended.code, ended.err) == (0, "")
    assert before.items() <= stored_states(scene.database_url).items()
    child.send(signal.SIGCONT)
    assert child.await_end().code == 0
    assert stored_states(scene.database_url) == true_states(scene.emulator.world)
