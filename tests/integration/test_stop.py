"""
A stopped sync ends promptly, whatever it is waiting for, and the next one continues from there.

It is stopped by another thread, by a deadline, or, in `tests/e2e`, by a signal.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from support.clients import client_at, client_for, full_server, raw_server, read
from support.processes import wait_until
from support.worlds import a_world, query, settings_for, stored_states, true_states

from etl.database.cancel import cancelled_on_stop
from etl.emulator import Behaviour, Fault, serve
from etl.errors import Interrupted, SyncRunning, TimedOut
from etl.extract.retry import Backoff
from etl.stop import Stop
from etl.sync.api import run_sync, writing
from etl.sync.summary import RunSummary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.emulator import Emulator

# Maximum seconds from the stop to the end of the run.
PROMPT = 2.0
DELAY = 0.3
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with serve(a_world(60), Behaviour(page_cap=10)) as emulator:
        yield emulator


@contextlib.contextmanager
def stopped(stop: Stop) -> Iterator[None]:
    """Stop after a short delay, and check that the block ends in time."""
    timer = threading.Timer(DELAY, stop.set)
    start = time.monotonic()
    timer.start()
    try:
        with pytest.raises(Interrupted):
            yield
        assert DELAY <= time.monotonic() - start + 0.01 < DELAY + PROMPT
    finally:
        timer.cancel()


def drip_head(peer: socket.socket, is_over: threading.Event) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\n")
    is_over.wait(20)


def drip_body(peer: socket.socket, is_over: threading.Event) -> None:
    peer.sendall(
        b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{"results":'
    )
    while not is_over.wait(0.05):
        peer.sendall(b" ")


@pytest.mark.parametrize("drip", [drip_head, drip_body])
def test_stop_ends_a_running_request(drip):
    with (
        raw_server(drip) as url,
        client_at(url, retry_for=60) as client,
        stopped(client.stop),
    ):
        read(client)


def test_stop_ends_a_tls_handshake():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        with client_at(url, retry_for=60) as client, stopped(client.stop):
            read(client)


def test_stop_ends_a_connection_attempt():
    with (
        full_server() as (host, port),
        client_at(f"http://{host}:{port}", retry_for=60) as client,
        stopped(client.stop),
    ):
        read(client)


def test_stop_ends_name_resolution(monkeypatch):
    resolve = socket.getaddrinfo

    def hang(*arguments: object, flags: int = 0, **options: object) -> object:
        if not flags & socket.AI_NUMERICHOST:
            time.sleep(5)
        return resolve(*arguments, flags=flags, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with client_at("http://api.corp.example", retry_for=60) as client, stopped(client.stop):
        read(client)


@pytest.mark.parametrize("kind", ["429_seconds", "503"])
def test_stop_ends_the_wait_before_a_retry(emulator, kind):
    emulator.inject(Fault(kind, times=9, seconds=20))
    with client_for(emulator, retry_for=60, backoff=Backoff(first=20)) as client:
        with stopped(client.stop):
            read(client)
        assert client.requests == 1


def test_stop_ends_the_rate_limiter_wait_without_a_request(emulator):
    with client_for(emulator, max_rate=0.05) as client:
        read(client)
        with stopped(client.stop):
            read(client)
        with pytest.raises(Interrupted):
            read(client)
        assert client.requests == 1


def test_a_closed_client_sends_no_request(emulator):
    with client_for(emulator) as client:
        pass
    with pytest.raises(Interrupted):
        read(client)
    assert client.requests == 0


def test_stop_ends_the_wait_for_the_lock(migrated_url):
    stop = Stop()
    with held(migrated_url):
        with stopped(stop), writing(migrated_url, wait=True, stop=stop):
            pytest.fail("two writers at once")
        with pytest.raises(SyncRunning), writing(migrated_url):
            pytest.fail("two writers at once")


def test_stop_cancels_statement_and_connection_stays_usable(migrated_url):
    """The full-text index of SQLite keeps a statement of its own active until the transaction ends."""
    stop = Stop()
    is_sqlite = migrated_url.startswith("sqlite")
    key, endless = ("rowid", ENDLESS) if is_sqlite else ("part_id", "SELECT pg_sleep(60)")
    with writing(migrated_url) as connection:
        with stopped(stop), cancelled_on_stop(connection, stop), connection.begin():
            connection.execute(text("UPDATE sync_state SET present_tasks = 7"))
            connection.execute(text(f"INSERT INTO transcript_words ({key}, words) VALUES (1, 'word')"))
            connection.execute(text(f"DELETE FROM transcript_words WHERE {key} = 1"))
            connection.execute(text(endless))
        with connection.begin():
            assert connection.scalar(text("SELECT present_tasks FROM sync_state")) == 0
            connection.execute(text("UPDATE sync_state SET present_tasks = 8"))
            assert connection.scalar(text("SELECT present_tasks FROM sync_state")) == 8


def test_block_does_not_start_if_already_stopped(migrated_url):
    stop = Stop()
    stop.set()
    with (
        writing(migrated_url) as connection,
        pytest.raises(Interrupted),
        cancelled_on_stop(connection, stop),
    ):
        pytest.fail("it began")


@contextlib.contextmanager
def held(database_url: str) -> Iterator[None]:
    """Hold the writer's lock in another thread."""
    is_held, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with writing(database_url):
            is_held.set()
            may_end.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    is_held.wait()
    try:
        yield
    finally:
        may_end.set()
        thread.join()


class Scene:
    """A sync that is stopped at a chosen point, and the next one."""

    def __init__(self, emulator: Emulator, database_url: str) -> None:
        self.emulator, self.database_url = emulator, database_url
        self.summary = RunSummary()
        self.settings = settings_for(emulator, database_url, page_size=10, retry_for=dt.timedelta(minutes=1))

    def sync(self, **given: object) -> None:
        self.summary = RunSummary()
        run_sync(self.settings, summary=self.summary, **given)

    def stop_at(self, what: str, number: int) -> None:
        """Sync, and stop after this many pages or results."""
        stop, seen = Stop(), 0

        def observe(_summary: RunSummary, progress) -> None:
            nonlocal seen
            seen += progress.what == what
            if seen == number:
                threading.Thread(target=stop.set).start()

        with pytest.raises(Interrupted):
            self.sync(stop=stop, observe=observe)

    def runs(self) -> list[tuple[str, str | None]]:
        return query(self.database_url, "SELECT status, error FROM sync_runs ORDER BY run_id")

    def check_next(self) -> None:
        """Check that the lock is free, and that the next sync makes the copy complete."""
        self.sync()
        assert self.runs()[-1] == ("succeeded", None)
        assert stored_states(self.database_url) == true_states(self.emulator.world)


@pytest.fixture
def scene(emulator, migrated_url) -> Scene:
    return Scene(emulator, migrated_url)


def test_run_stopped_between_pages_is_interrupted(scene):
    scene.stop_at("tasks", 3)
    assert scene.runs() == [("interrupted", "interrupted")]
    assert scene.summary.status == "interrupted"
    scene.check_next()


def test_run_stopped_between_results_keeps_its_tasks(scene):
    scene.stop_at("results", 1)
    assert scene.runs() == [("interrupted", "interrupted")]
    assert stored_states(scene.database_url) == true_states(scene.emulator.world)
    scene.check_next()


def test_run_stopped_before_it_starts_leaves_no_row(scene):
    stop = Stop()
    stop.set()
    with pytest.raises(Interrupted):
        scene.sync(stop=stop)
    assert scene.runs() == []
    scene.check_next()


def test_finished_run_does_not_set_the_callers_stop(scene):
    stop = Stop()
    scene.sync(stop=stop)
    scene.sync(stop=stop)
    assert not stop.is_set()


@pytest.mark.parametrize("kind", ["slow", "429_seconds"])
def test_a_deadline_ends_a_run_and_is_named_in_its_error(scene, kind):
    scene.emulator.inject(Fault(kind, seconds=30, after=3))
    start = time.monotonic()
    with pytest.raises(TimedOut) as caught:
        scene.sync(deadline=start + 2)
    assert 2 <= time.monotonic() - start < 2 + PROMPT
    assert caught.value.exit_code == 1
    assert str(caught.value).startswith("timed out after 2.0 s (--timeout): what was loaded is kept")
    assert scene.runs() == [("interrupted", str(caught.value))]
    scene.check_next()


def test_a_deadline_also_ends_the_wait_for_the_lock(scene):
    with held(scene.database_url), pytest.raises(TimedOut):
        scene.sync(wait=True, deadline=time.monotonic() + DELAY)
    scene.check_next()


def test_unreached_deadline_has_no_effect(scene):
    scene.sync(deadline=time.monotonic() + 600)
    scene.check_next()


def test_run_can_be_stopped_from_another_thread(scene):
    """As in a server, whose main thread does something else."""
    stop, errors = Stop(), []
    scene.emulator.behaviour.latency = 30

    def run() -> None:
        try:
            scene.sync(stop=stop)
        except Interrupted as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: scene.emulator.requests, "a request")
    stop.set()
    thread.join(PROMPT)
    assert not thread.is_alive()
    assert len(errors) == 1
    assert scene.runs() == [("interrupted", "interrupted")]
