"""Where the command writes: data to stdout, all else to stderr, a bar on a terminal alone; closed pipes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.absent import require
from support.commands import error_of
from support.worlds import query

if TYPE_CHECKING:
    from support.commands import Command

PRINTING = ("sync", "sync --json", "status", "runs", "runs --json", "doctor", "completion bash", "--help")


def run(command: Command, *words: str, **options: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **command.environment, **options.pop("environment", {})}
    return subprocess.run(
        [sys.executable, "-m", "etl", *words], env=environment, check=False, text=True, **options
    )


def read_terminal(command: Command, *words: str) -> tuple[str, str]:
    """Run it with stderr on a terminal; give stdout, and all that the terminal was told."""
    screen, stderr = os.openpty()
    environment = {**os.environ, **command.environment, "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(
        [sys.executable, "-m", "etl", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    os.close(stderr)
    shown = b""
    with process, os.fdopen(screen, "rb", buffering=0) as terminal:
        while True:
            try:
                shown += terminal.read(65536)
            except OSError:  # Linux's word for the end of a terminal
                break
        out = process.stdout.read()
    assert process.returncode == 0
    return out, shown.decode()


def test_on_a_terminal_a_bar_shows_pages_tasks_rate_and_the_time_left(sqlite_command, emulator):
    emulator.behaviour.latency = 0.05
    out, shown = read_terminal(sqlite_command, "sync", "--page-size", "5", "--concurrency", "1", "--json")
    assert re.search(r"[1-9]\d* pages", shown)
    assert re.search(r"\d+/30\W", shown)
    assert re.search(r"tasks, [1-9][\d,]*/s", shown)
    assert re.search(r"results, [1-9][\d,]*/s", shown)
    assert re.search(r"0:00:0\d", shown)
    assert out.count("\n") == 1
    assert json.loads(out)["inserted"] == 30


def test_the_bar_is_gone_at_the_end_and_what_is_said_stays(sqlite_command):
    out, shown = read_terminal(sqlite_command, "sync", "-v")
    assert "Run 1 succeeded" in out
    assert shown.rstrip().endswith(("\x1b[2K", "\x1b[?25h"))


def test_without_a_terminal_there_is_no_bar_and_no_escape_sequence(command):
    for words in ("sync", "sync --full", "status", "runs", "doctor"):
        ended = command(*words.split())
        assert (ended.code, ended.err) == (0, "")
        assert "\x1b" not in ended.out


def test_logs_go_to_stderr_and_leave_the_data_alone(command):
    for verbosity in ("-v", "-vv"):
        ended = command("sync", "--json", verbosity)
        assert ended.out.count("\n") == 1
        assert json.loads(ended.out)["status"] == "succeeded"
        assert (" DEBUG " in ended.err) == (verbosity == "-vv")
        assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    "words",
    ["-v sync", "sync -v", "sync --verbose", "-vv sync", "db -v upgrade", "db upgrade -v", "doctor -v"],
)
def test_verbose_is_taken_wherever_it_is_typed(sqlite_command, words):
    assert sqlite_command(*words.split()).code == 0


def test_what_a_server_sends_does_not_steer_the_terminal(sqlite_command, emulator):
    emulator.world.set_status(emulator.world.create(), "\x1b[31mRED\x07\n")
    sqlite_command("sync")
    shown = sqlite_command("status").out
    assert "[31mRED" in shown
    assert not {"\x1b", "\x07"} & set(shown)


def test_a_traceback_comes_with_verbose_alone_and_before_the_line(sqlite_command):
    url = {"GCORE_ETL_DATABASE_URL": "mysql://host/tasks"}
    line = error_of(sqlite_command("sync", **url), 3)
    ended = sqlite_command("sync", "-v", **url)
    first, *_, last = ended.err.splitlines()
    assert (ended.code, ended.out, last) == (3, "", line)
    assert first == "Traceback (most recent call last):"


def test_even_a_bug_is_one_line_without_verbose(sqlite_command, tmp_path):
    sqlite_command("sync")
    environment = {"PYTHONPATH": str(tmp_path)}
    (tmp_path / "sitecustomize.py").write_text(
        "import etl.sync.status\netl.sync.status.read_status = lambda connection: 1 / 0\n"
    )
    done = run(sqlite_command, "status", environment=environment, capture_output=True)
    expected = "Error: unexpected ZeroDivisionError: division by zero; --verbose shows where\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", expected)


@pytest.mark.parametrize("words", PRINTING)
def test_a_reader_that_has_gone_is_no_reason_for_a_traceback(sqlite_command, words):
    sqlite_command("sync")
    reader, writer = os.pipe()
    os.close(reader)
    done = run(sqlite_command, *words.split(), stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
    if words.startswith("sync"):
        ((status,),) = query(
            sqlite_command.database_url, "SELECT status FROM sync_runs ORDER BY run_id DESC LIMIT 1"
        )
        assert status == "succeeded"


def test_the_first_line_can_be_taken_alone(sqlite_command):
    require("head")
    for _ in range(3):
        sqlite_command("sync", "--no-results")
    done = subprocess.run(
        f"'{sys.executable}' -m etl runs --json | head -1",
        shell=True,
        check=True,
        env={**os.environ, **sqlite_command.environment},
        capture_output=True,
        text=True,
    )
    assert (json.loads(done.stdout)["run_id"], done.stderr) == (3, "")


@pytest.mark.parametrize("words", ["sync --json", "runs"])
@pytest.mark.parametrize("closed", [1, 2])
def test_without_stdout_or_stderr_it_works_all_the_same(sqlite_command, words, closed):
    sqlite_command("sync")
    done = subprocess.run(
        f"'{sys.executable}' -m etl {words} {closed}>&-",
        shell=True,
        check=False,
        env={**os.environ, **sqlite_command.environment},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert bool(done.stdout) == (closed == 2)


def test_a_full_disk_behind_stdout_is_one_line(sqlite_command):
    sqlite_command("sync")
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = run(sqlite_command, "runs", stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "No space left" in done.stderr


def test_an_encoding_that_knows_few_letters_gets_them_escaped(sqlite_command, emulator):
    emulator.world.set_status(emulator.world.create(), "ГОТОВО")
    sqlite_command("sync")
    narrow = {"PYTHONIOENCODING": "ascii"}
    shown, listed = (
        run(sqlite_command, words, environment=narrow, capture_output=True) for words in ("status", "runs")
    )
    assert (shown.returncode, shown.stderr, listed.returncode, listed.stderr) == (0, "", 0, "")
    assert r"\u0413\u041e" in shown.stdout
