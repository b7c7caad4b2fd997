"""Only a stop ends `watch`, whatever happens in a turn. The turns are simulated and do not wait."""

from __future__ import annotations

import errno
import functools
import gc
import json
import logging
import re
import signal
import sqlite3
import sys
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from support.processes import TIME, environment_for, wait_until
from support.worlds import a_world, query

from etl.cli import cli, watch
from etl.emulator import serve
from etl.errors import (
    ConfigurationError,
    CredentialsRefused,
    DatabaseError,
    EtlError,
    Interrupted,
    SchemaTooNewError,
    SourceError,
    SyncRunning,
    Unreachable,
)
from etl.sync import api

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click.testing import Result

    from etl.stop import Stop
    from etl.sync.summary import RunSummary

    Turn = Callable[[RunSummary, Stop], None]


class Turns:
    """Replaces each sync by a given outcome, and sends SIGTERM after the last one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *turns: BaseException | Turn) -> None:
        self.left, self.done, self.waits = list(turns), 0, 0
        monkeypatch.setattr(api, "run_sync", self._run)
        monkeypatch.setattr(watch, "Schedule", self._schedule)

    def wait(self) -> None:
        self.waits += 1
        self._sleep(0)
        if not self.left:
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL, "a stop was not noticed"
            signal.raise_signal(signal.SIGTERM)
            self._sleep(60)

    def _schedule(self, _every: object, *, sleep: Callable[[float], None]) -> Turns:
        self._sleep = sleep
        return self

    def _run(self, *_arguments: Any, summary: RunSummary, stop: Stop, **_options: Any) -> None:
        turn = self.left.pop(0)
        self.done += 1
        if isinstance(turn, BaseException):
            raise turn
        turn(summary, stop)


def succeed(summary: RunSummary, _stop: Stop) -> None:
    summary.status, summary.run_id = "succeeded", 7


def run(*options: str, **environment: str) -> Result:
    known = {"GCORE_API_KEY": "1234$abcdef", "GCORE_ETL_DATABASE_URL": "sqlite:////nowhere/tasks.db"}
    return CliRunner().invoke(cli, ["watch", *options], env={**known, **environment})


def without_time(text: str) -> list[str]:
    """Return the lines without the time that each begins with."""
    lines = text.splitlines()
    assert [line for line in lines if not re.match(TIME, line)] == []
    return [re.sub(f"^{TIME} +", "", line) for line in lines]


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """Restore the logging configuration, which the command changes."""
    root, ours = logging.getLogger(), logging.getLogger("etl")
    before = (root.handlers, root.level, ours.level)
    yield
    root.handlers, root.level, ours.level = before


def driver_error(kind: type[sa.exc.DBAPIError], text: str) -> sa.exc.DBAPIError:
    return kind("SELECT 1", {}, sqlite3.ProgrammingError(text))


FAILURES: dict[str, Exception] = {
    "memory": MemoryError(),
    "disk": OSError(errno.ENOSPC, "No space left on device", "/srv/copy"),
    "file": FileNotFoundError(errno.ENOENT, "No such file or directory", "/tmp/x"),
    "threads": RuntimeError("can't start new thread"),
    "depth": RecursionError("maximum recursion depth exceeded"),
    "bug": ZeroDivisionError("division by zero"),
    "assertion": AssertionError(),
    "missing module": ModuleNotFoundError("No module named 'x'"),
    "text": UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    "statement": driver_error(sa.exc.ProgrammingError, 'prepared statement "_pg3_0" already exists'),
    "data": driver_error(sa.exc.DataError, "untranslatable character"),
    "key": KeyError("x"),
    "group": ExceptionGroup("several", [ValueError("one"), OSError("two")]),
    "stop iteration": StopIteration(),
    "source": Unreachable("the API does not answer"),
    "database": DatabaseError("the database cannot be used: it is down"),
    "schema": SchemaTooNewError("the schema is newer"),
    "lock": SyncRunning("another sync is writing (process 4711 on host-a, since 2026-12-01 14:03:11 UTC)"),
}


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("failure", FAILURES)
def test_failures_do_not_end_watch_and_are_each_reported_once(monkeypatch, failure, is_first):
    error = FAILURES[failure]
    turns = Turns(monkeypatch, *([] if is_first else [succeed]), error, succeed)
    ended = run("--json")
    assert (ended.exit_code, turns.left) == (143, [])
    *complaints, last = without_time(ended.stderr)
    assert last.startswith("Error: interrupted")
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    (failed,) = (each for each in told if each["status"] == "failed")
    assert complaints == [f"Error: {failed['error']}"]
    assert len(told) == turns.done
    if isinstance(error, EtlError):
        assert failed["error"] == str(error)
    assert failed["started_at"].endswith("Z"), "which turn it was is told as well"
    assert ("unexpected" in complaints[0]) == (not isinstance(error, (EtlError, OSError, MemoryError)))


def test_every_line_of_text_output_starts_with_the_time(monkeypatch):
    Turns(monkeypatch, succeed, ValueError("two\nlines"), succeed)
    ended = run("-v")
    out, err = without_time(ended.stdout), without_time(ended.stderr)
    assert sum(line.endswith(" (run 7)") for line in out) == 2
    assert any("inserted " in line for line in out)
    assert "Error: unexpected ValueError: two lines; --verbose shows where" in err
    assert err[0] == "Traceback (most recent call last):"


@pytest.mark.parametrize(
    "error", [ConfigurationError("no such URL"), CredentialsRefused(401, "https://api.example")]
)
def test_configuration_error_ends_watch_only_in_the_first_turn(monkeypatch, error):
    turns = Turns(monkeypatch, error, succeed)
    ended = run("--json")
    assert (ended.exit_code, turns.done) == (3, 1)
    assert without_time(ended.stderr) == [f"Error: {error}"]
    turns = Turns(monkeypatch, succeed, error, succeed)
    assert (run().exit_code, turns.done) == (143, 3)


@pytest.mark.parametrize("environment", [{"GCORE_API_KEY": ""}, {"GCORE_ETL_LOOKBACK": "soon"}])
def test_invalid_setting_ends_watch_with_a_json_error(environment):
    ended = run("--json", **environment)
    assert ended.exit_code == 3
    (line,) = ended.stderr.splitlines()
    assert f"Error: {json.loads(ended.stdout)['error']}" in line


def send(number: int, stop: Stop) -> None:
    """Send this process a signal, and wait until it is noticed."""
    signal.raise_signal(number)
    wait_until(stop.is_set, "the signal is noticed")


def ends_in_order(_summary: RunSummary, stop: Stop) -> None:
    send(signal.SIGTERM, stop)
    stop.check()


def ends_before_it_notices(summary: RunSummary, stop: Stop) -> None:
    send(signal.SIGTERM, stop)
    succeed(summary, stop)


def fails_just_then(_summary: RunSummary, stop: Stop) -> None:
    send(signal.SIGTERM, stop)
    raise RuntimeError("unrelated")


@pytest.mark.parametrize("turn", [ends_in_order, ends_before_it_notices, fails_just_then])
@pytest.mark.parametrize("is_first", [True, False])
def test_stop_ends_watch_however_the_turn_ends(monkeypatch, turn, is_first):
    turns = Turns(monkeypatch, *([] if is_first else [succeed]), turn, succeed)
    ended = run()
    assert (ended.exit_code, len(turns.left)) == (143, 1)
    (line,) = without_time(ended.stderr)
    assert line.startswith("Error: interrupted")


def test_keyboard_interrupt_ends_watch(monkeypatch):
    turns = Turns(monkeypatch, succeed, KeyboardInterrupt(), succeed)
    assert (run().exit_code, len(turns.left)) == (130, 1)


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_each_signal_has_its_exit_code(monkeypatch, number, code):
    turns = Turns(monkeypatch, lambda _summary, stop: send(number, stop), succeed)
    assert (run().exit_code, len(turns.left)) == (code, 1)


def test_ignored_sighup_stays_ignored(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        turns = Turns(monkeypatch, lambda *_: signal.raise_signal(signal.SIGHUP), succeed)
        assert (run().exit_code, turns.done) == (143, 2)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_out_of_memory_while_reporting_does_not_end_watch(monkeypatch):
    def fail(_error: Exception) -> None:
        raise MemoryError

    turns = Turns(monkeypatch, MemoryError(), succeed)
    monkeypatch.setattr(watch, "print_exception", fail)
    assert (run().exit_code, turns.done) == (143, 2)


class FullDisk:
    """A stdout whose disk is full until it is cleared."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.is_full = True

    def write(self, text: str) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return int(self._stream.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def test_lost_output_is_reported_and_printing_resumes(monkeypatch):
    disks: list[FullDisk] = []

    def fill(summary: RunSummary, stop: Stop) -> None:
        disks.append(FullDisk(sys.stdout))
        monkeypatch.setattr(sys, "stdout", disks[0])
        succeed(summary, stop)

    def clear(summary: RunSummary, stop: Stop) -> None:
        disks[0].is_full = False
        succeed(summary, stop)

    turns = Turns(monkeypatch, fill, succeed, clear)
    ended = run("--json")
    assert (ended.exit_code, turns.done) == (143, 3)
    lost = [line for line in without_time(ended.stderr) if "could not be printed" in line]
    assert len(lost) == 2
    assert "No space left on device" in lost[0]
    assert [json.loads(line)["status"] for line in ended.stdout.splitlines()] == ["succeeded"]


def reject(error: Exception | None) -> Turn:
    def turn(summary: RunSummary, stop: Stop) -> None:
        summary.rejected = 1200
        if error is not None:
            raise error
        succeed(summary, stop)

    return turn


@pytest.mark.parametrize("error", [None, SourceError("cut short"), ZeroDivisionError()])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_each_turn_warns_about_rejected_records(monkeypatch, error, options):
    Turns(monkeypatch, succeed, reject(error), reject(error))
    told = [line for line in without_time(run(*options).stderr) if "rejected" in line]
    warning = "1,200 records were rejected: run gcore-etl rejected list to see why"
    assert told == 2 * [f"WARNING etl.cli.run_report: {warning}"]


TURNS = 40
CACHE = type(functools.lru_cache(len))


def count_objects() -> int:
    """Count the objects after a garbage collection, with size-limited caches such as SQLAlchemy's cleared."""
    for each in gc.get_objects():
        if isinstance(each, CACHE) and each.cache_parameters()["maxsize"] is not None:
            each.cache_clear()
    gc.collect()
    return len(gc.get_objects())


def test_memory_does_not_grow_with_the_turns(monkeypatch, database_url):
    counts: dict[int, int] = {}
    finished = 0

    class Countdown:
        def __init__(self, _every: Any, *, sleep: Any) -> None:
            pass

        def wait(self) -> None:
            nonlocal finished
            finished += 1
            emulator.behaviour.feature_disabled = finished % 4 == 1
            emulator.reset_log()
            if finished in {TURNS // 2, TURNS}:
                counts[finished] = count_objects()
            if finished == TURNS:
                raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr(watch, "Schedule", Countdown)
    with serve(a_world(5)) as emulator:
        settings = environment_for(emulator, database_url)
        assert CliRunner().invoke(cli, ["watch", "--json"], env=settings).exit_code == 143
    statuses = query(database_url, "SELECT status, count(*) FROM sync_runs GROUP BY status ORDER BY status")
    assert statuses == [("failed", TURNS // 4), ("succeeded", TURNS - TURNS // 4)]
    grown = counts[TURNS] - counts[TURNS // 2]
    assert grown < 2 * TURNS // 2, f"{grown} objects more after {TURNS // 2} turns"
