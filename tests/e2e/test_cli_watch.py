"""`gcore-etl watch` as a process: it repeats syncs, also after failures, until a signal."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from support.commands import error_of
from support.processes import TIME, start_command, wait_until
from support.worlds import query, stored_states, true_states

from etl.emulator import Fault
from etl.sync.api import writing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.commands import Command

CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}
# Maximum seconds from the signal to the exit.
PROMPT = 2


@contextlib.contextmanager
def watching(command: Command, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = command.start("watch", *arguments, **environment)
    with process:
        try:
            yield process
        finally:
            process.kill()


def read_object(process: subprocess.Popen[str]) -> dict[str, object]:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def stop(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> tuple[str, str]:
    """Send a signal, check that the process exits promptly, and return its remaining output."""
    start = time.monotonic()
    said = end(process, number)
    assert time.monotonic() - start < PROMPT
    return said


def end(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> tuple[str, str]:
    """Send a signal, check the exit code, and return the remaining output."""
    process.send_signal(number)
    said = process.communicate(timeout=60)
    assert process.returncode == CODES[number]
    return said


@pytest.mark.parametrize("number", CODES)
def test_watch_repeats_syncs_until_signal(command, emulator, number):
    with watching(command, "--every", "0.3s", "--json") as process:
        first = read_object(process)
        emulator.world.finish(emulator.world.create())
        told = first
        while told["inserted"] != 1:
            told = read_object(process)
        _, err = stop(process, number)
    assert (first["run_id"], first["inserted"], first["status"]) == (1, 30, "succeeded")
    (line,) = err.splitlines()
    assert re.match(rf"{TIME}  Error: interrupted", line)
    assert stored_states(command.database_url) == true_states(emulator.world)
    statuses = query(command.database_url, "SELECT DISTINCT status FROM sync_runs WHERE run_id <= 2")
    assert statuses == [("succeeded",)]


def test_every_is_the_interval_between_starts(sqlite_command):
    with watching(sqlite_command, "--every", "1s", "--json", "--no-results") as process:
        for _ in range(4):
            read_object(process)
        stop(process)
    rows = query(
        sqlite_command.database_url,
        "SELECT julianday(started_at) FROM sync_runs WHERE run_id BETWEEN 2 AND 4",
    )
    waits = [(after - before) * 86_400 for (before,), (after,) in itertools.pairwise(rows)]
    assert all(0.9 < wait < 1.9 for wait in waits), waits


def test_failed_sync_is_reported_and_retried(sqlite_command, emulator):
    with watching(sqlite_command, "--every", "0.3s", "--json", GCORE_ETL_RETRY_FOR="0.1s") as process:
        read_object(process)
        emulator.inject(Fault("503", times=2))
        told = [read_object(process)]
        while told[-1]["status"] != "succeeded" or len(told) < 2:
            told.append(read_object(process))
        _, err = stop(process)
    failed = [each for each in told if each["status"] == "failed"]
    assert failed
    errors = [line.partition("  ")[2] for line in err.splitlines() if "  Error: " in line]
    assert errors[:-1] == [f"Error: {each['error']}" for each in failed]
    assert "HTTP 503" in errors[0]


def test_turn_is_skipped_while_another_sync_runs(command):
    with watching(command, "--every", "0.3s", "--json") as process:
        read_object(process)
        with writing(command.database_url, wait=True):
            while read_object(process)["status"] == "succeeded":
                pass
            # The turn before may have come before the holder had written its note.
            told = read_object(process)
            refused = command("sync")
        assert "another sync" in told["error"]
        assert without_numbers(f"Error: {told['error']}") == without_numbers(error_of(refused, 75))
        while read_object(process)["status"] != "succeeded":
            pass
        _, err = stop(process)
        assert f"Error: {told['error']}" in err


def without_numbers(text: str) -> str:
    return re.sub(r"\d+", "0", text)


def test_watch_survives_full_disk_on_stdout(sqlite_command):
    with (
        open("/dev/full", "w") as full,  # noqa: PTH123
        start_command(sqlite_command.environment, "watch", "--every", "0.3s", stdout=full) as process,
    ):
        lines = [process.stderr.readline() for _ in range(3)]
        _, err = end(process)
    expected = f"{TIME} WARNING etl.cli.console: the report could not be printed: .*No space left on device\n"
    assert [line for line in lines if not re.fullmatch(expected, line)] == []
    assert "Exception ignored" not in err
    statuses = query(sqlite_command.database_url, "SELECT DISTINCT status FROM sync_runs WHERE run_id < 4")
    assert statuses == [("succeeded",)]


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_watch_survives_closed_stdout_pipe(sqlite_command, words):
    with watching(sqlite_command, "--every", "0.3s", *words) as process:
        assert process.stdout.readline()
        process.stdout.close()
        process.stdout = None
        while "has exited" not in process.stderr.readline():
            pass
        assert "has exited" in process.stderr.readline()
        _, err = end(process)
    assert "Exception ignored" not in err
    statuses = query(sqlite_command.database_url, "SELECT DISTINCT status FROM sync_runs WHERE run_id < 3")
    assert statuses == [("succeeded",)]


@pytest.mark.parametrize("stderr", ["/dev/full", "closed"])
def test_watch_survives_unwritable_stderr(sqlite_command, emulator, stderr):
    emulator.inject(Fault("503", times=99))
    redirection = "2>&-" if stderr == "closed" else f"2>{stderr}"
    words = "watch --every 0.1s --json --retry-for 0.01s"
    with subprocess.Popen(
        f"exec '{sys.executable}' -m etl {words} {redirection}",
        shell=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **sqlite_command.environment},
    ) as process:
        told = [read_object(process)["status"] for _ in range(3)]
        end(process)
    assert told == ["failed"] * 3


def test_watch_survives_full_database_disk(sqlite_command, nursery, tmp_path):
    """A limit on the file size simulates a full disk."""
    child = nursery.start(
        sqlite_command.environment, "watch", "--every", "0.2s", "--json", file_bytes=200_000
    )
    wait_until(lambda: child.said().count("\n") >= 3, "three turns")
    child.send(signal.SIGTERM)
    ended = child.await_end()
    assert ended.code == 143, ended
    told = [json.loads(line)["error"] for line in ended.out.splitlines()]
    assert [error for error in told if error is None] == []
    assert (tmp_path / "tasks.db").exists()


def test_sighup_ends_watch_unless_ignored(sqlite_command):
    with watching(sqlite_command, "--every", "0.2s", "--json") as process:
        read_object(process)
        process.send_signal(signal.SIGHUP)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err.count("\n")) == (129, 1)
    statuses = query(sqlite_command.database_url, "SELECT DISTINCT status FROM sync_runs")
    assert ("running",) not in statuses
    with subprocess.Popen(
        f"trap '' HUP; exec '{sys.executable}' -m etl watch --every 0.2s --json",
        shell=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **sqlite_command.environment},
    ) as process:
        read_object(process)
        process.send_signal(signal.SIGHUP)
        for _ in range(2):
            assert read_object(process)["status"] == "succeeded"
        end(process)


def test_every_output_line_has_timestamp(sqlite_command, emulator):
    with watching(sqlite_command, "--every", "0.3s", "-v", GCORE_ETL_RETRY_FOR="0.1s") as process:
        for line in iter(process.stdout.readline, ""):
            if "(run 2)" in line:
                break
        emulator.inject(Fault("503", times=3))
        for line in iter(process.stderr.readline, ""):
            assert re.match(TIME, line), line
            if "Error: " in line:
                break
        out, err = end(process)
    assert [line for line in (out + err).splitlines() if not re.match(TIME, line)] == []
    assert "Traceback" in err or "Error: " in line


def test_rejected_key_ends_watch_only_on_first_sync(sqlite_command, emulator):
    key = emulator.api_key
    emulator.api_key = "1234$another"
    ended = sqlite_command("watch", "--every", "0.3s", "--json")
    assert "GCORE_API_KEY" in error_of(ended, 3)
    assert json.loads(ended.out)["status"] == "failed"
    emulator.api_key = key
    with watching(sqlite_command, "--every", "0.3s", "--json") as process:
        read_object(process)
        emulator.api_key = "1234$another"
        while read_object(process)["status"] == "succeeded":
            pass
        emulator.api_key = key
        while read_object(process)["status"] != "succeeded":
            pass
        stop(process)


@pytest.mark.parametrize("number", CODES)
def test_signal_during_slow_request_ends_watch_promptly(command, emulator, number):
    with watching(command, "--json") as process:
        emulator.behaviour.latency = 50
        wait_until(lambda: emulator.requests, "the first request")
        out, err = stop(process, number)
    assert re.match(rf"{TIME}  Error: interrupted", err)
    assert json.loads(out)["status"] == "interrupted"
    assert query(command.database_url, "SELECT status FROM sync_runs") == [("interrupted",)]


def test_signal_during_retry_wait_ends_watch_promptly(sqlite_command, emulator):
    emulator.inject(Fault("429_seconds", times=9, seconds=40))
    with watching(sqlite_command) as process:
        assert "trying again in 40" in process.stderr.readline()
        stop(process)
    assert query(sqlite_command.database_url, "SELECT status FROM sync_runs") == [("interrupted",)]


LOGGING = """
import logging, os, signal
from etl.cli.console import set_up_logging
from etl.cli.signals import interruptible

class Sender:
    def __str__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        return "sent"

set_up_logging(0)
with interruptible():
    logging.getLogger("etl").warning("%s", Sender())
"""


def test_signal_during_logging_is_not_lost():
    done = subprocess.run([sys.executable, "-c", LOGGING], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("etl.errors.Interrupted")
    assert "Logging error" not in done.stderr


@pytest.mark.parametrize("words", [["sync", "--wait"], ["db", "upgrade", "--wait"]])
def test_signal_while_waiting_for_lock_ends_command_promptly(sqlite_command, nursery, words):
    sqlite_command("sync")
    with writing(sqlite_command.database_url):
        child = nursery.start({**sqlite_command.environment}, *words)
        wait_until(lambda: child.attempts() > 1, "the lock is tried")
        child.send(signal.SIGINT)
        ended = child.await_end(PROMPT)
    assert error_of(ended, 130).startswith("Error: interrupted")
