"""Data goes to stdout, everything else to stderr, progress bars to a terminal only; closed pipes."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.absent import require
from support.commands import error_of
from support.grids import one_in
from support.processes import BUFFERED, TIME
from support.worlds import query

from etl.emulator import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.commands import Command

PRINTING = (
    "status", "status --json", "runs", "runs --json", "doctor", "completion bash", "--help", "--version",
    "schema tasks", "db current", "rejected list", "export tasks", "search a*",
)  # fmt: skip


def run(command: Command, *words: str, **options: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **BUFFERED, **command.environment, **options.pop("environment", {})}
    return subprocess.run(
        [sys.executable, "-m", "etl", *words], env=environment, check=False, text=True, **options
    )


def read_terminal(command: Command, *words: str) -> tuple[str, str]:
    """Run the command with stderr on a terminal; return stdout and what the terminal received."""
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
            except OSError:  # On Linux, how the end of a terminal is reported.
                break
        out = process.stdout.read()
    assert process.returncode == 0
    return out, shown.decode()


def test_progress_bar_shows_pages_tasks_rate_and_time_left(sqlite_command, emulator):
    emulator.behaviour.latency = 0.05
    out, shown = read_terminal(sqlite_command, "sync", "--page-size", "5", "--concurrency", "1", "--json")
    assert re.search(r"[1-9]\d* pages", shown)
    assert re.search(r"\d+/30\W", shown)
    assert re.search(r"tasks, [1-9][\d,]*/s", shown)
    assert re.search(r"results, [1-9][\d,]*/s", shown)
    assert re.search(r"/s, \d+(\.\d)? m?s left", shown)
    assert out.count("\n") == 1
    assert json.loads(out)["inserted"] == 30


def test_progress_bar_is_erased_at_the_end(sqlite_command):
    out, shown = read_terminal(sqlite_command, "sync", "-v")
    assert "(run 1)" in out
    assert shown.rstrip().endswith(("\x1b[2K", "\x1b[?25h"))


def test_no_progress_bar_or_escape_codes_without_terminal(command):
    for words in ("sync", "sync --full", "status", "runs", "doctor"):
        ended = command(*words.split())
        assert (ended.code, ended.err) == (0, "")
        assert "\x1b" not in ended.out


def test_logs_go_to_stderr_only(command):
    for verbosity in ("-v", "-vv"):
        ended = command("sync", "--json", verbosity)
        assert ended.out.count("\n") == 1
        assert json.loads(ended.out)["status"] == "succeeded"
        assert (" DEBUG " in ended.err) == (verbosity == "-vv")
        assert "Traceback" not in ended.err


def test_log_timestamps_are_utc(sqlite_command, emulator):
    emulator.inject(Fault("503", times=99))
    before = dt.datetime.now(dt.UTC).replace(microsecond=0)
    ended = run(
        sqlite_command, "sync", "--retry-for", "1s", environment={"TZ": "Asia/Tokyo"}, capture_output=True
    )
    times = re.findall(f"^({TIME}) WARNING ", ended.stderr, re.MULTILINE)
    assert times
    assert all(before <= dt.datetime.fromisoformat(time) <= dt.datetime.now(dt.UTC) for time in times)


@pytest.mark.parametrize(
    "words",
    ["-v sync", "sync -v", "sync --verbose", "-vv sync", "db -v upgrade", "db upgrade -v", "doctor -v"],
)
def test_verbose_is_accepted_before_and_after_command(sqlite_command, words):
    assert sqlite_command(*words.split()).code == 0


def test_control_characters_from_server_are_not_printed(sqlite_command, emulator):
    emulator.world.set_status(emulator.world.create(), "\x1b[31mRED\x07\n")
    sqlite_command("sync")
    shown = sqlite_command("status").out
    assert "[31mRED" in shown
    assert not {"\x1b", "\x07"} & set(shown)


def test_traceback_is_printed_only_with_verbose(sqlite_command):
    url = {"GCORE_ETL_DATABASE_URL": "mysql://host/tasks"}
    line = error_of(sqlite_command("sync", **url), 3)
    ended = sqlite_command("sync", "-v", **url)
    first, *_, last = ended.err.splitlines()
    assert (ended.code, ended.out, last) == (3, "", line)
    assert first == "Traceback (most recent call last):"


def test_unexpected_exception_is_one_line_without_verbose(sqlite_command, tmp_path):
    sqlite_command("sync")
    environment = {"PYTHONPATH": str(tmp_path)}
    (tmp_path / "sitecustomize.py").write_text(
        "import etl.sync.status\netl.sync.status.read_status = lambda connection: 1 / 0\n"
    )
    done = run(sqlite_command, "status", environment=environment, capture_output=True)
    expected = "Error: unexpected ZeroDivisionError: division by zero; --verbose shows where\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", expected)


@contextlib.contextmanager
def no_reader() -> Iterator[int]:
    """Yield the write end of a pipe whose read end is closed."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@contextlib.contextmanager
def full_disk() -> Iterator[int]:
    """Yield a file descriptor on a full disk."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield descriptor
    os.close(descriptor)


@one_in(4, "words", PRINTING)
def test_closed_pipe_ends_read_command_silently(sqlite_command, words):
    sqlite_command("sync")
    with no_reader() as stdout:
        done = run(sqlite_command, *words.split(), stdout=stdout, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, "")


@one_in(4, "words", PRINTING)
def test_full_disk_on_stdout_fails_read_command(sqlite_command, words):
    sqlite_command("sync")
    with full_disk() as stdout:
        done = run(sqlite_command, *words.split(), stdout=stdout, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert re.match(r"Error: .*No space left on device", done.stderr)
    assert "unexpected" not in done.stderr


LOST = f"{TIME} WARNING etl.cli.console: the report could not be printed: "
# How stdout is redirected (empty: a pipe without a reader), and the reason in the warning.
UNPRINTABLE = {
    ">/dev/full": "standard output cannot be written: No space left on device",
    "": "the reader of standard output has exited",
    ">&-": "standard output is closed",
}


def run_redirected(command: Command, words: str, redirection: str, folder: Path) -> tuple[int, str]:
    """Run the command from a shell; return its exit code and stderr."""
    said = folder / "stderr"
    with no_reader() as broken:
        done = subprocess.run(
            f"exec 2>'{said}' {redirection}; exec '{sys.executable}' -m etl {words}",
            shell=True,
            check=False,
            env={**os.environ, **BUFFERED, **command.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if redirection else broken,
        )
    return done.returncode, said.read_text()


@one_in(
    2,
    "words, redirection",
    ["sync", "sync --json", "sync --dry-run", "db upgrade", "rejected retry"],
    UNPRINTABLE,
)
def test_unwritable_stdout_does_not_fail_write_command(sqlite_command, tmp_path, words, redirection):
    sqlite_command("sync")
    code, said = run_redirected(sqlite_command, words, redirection, tmp_path)
    assert code == 0
    assert re.fullmatch(LOST + re.escape(UNPRINTABLE[redirection]) + "\n", said), said
    if words in {"sync", "sync --json"}:
        rows = query(sqlite_command.database_url, "SELECT run_id, status FROM sync_runs ORDER BY run_id")
        assert rows == [(1, "succeeded"), (2, "succeeded")]


@pytest.mark.parametrize("redirection", UNPRINTABLE)
def test_failed_sync_keeps_exit_code_if_stdout_is_unwritable(sqlite_command, emulator, tmp_path, redirection):
    emulator.behaviour.feature_disabled = True
    code, said = run_redirected(sqlite_command, "sync --json", redirection, tmp_path)
    assert code == 3
    lost, line = said.splitlines()
    assert re.match(LOST, lost)
    assert line.startswith("Error: AI tasks are not enabled")


@one_in(
    2,
    "words, redirection",
    ["sync", "status", "sync --page-size 0", "sync --retry-for 0.1s"],
    ["2>/dev/full", "2>&-", ">/dev/full 2>&1", ">&- 2>&-"],
)
def test_unwritable_stderr_does_not_change_exit_code(sqlite_command, emulator, tmp_path, words, redirection):
    sqlite_command("sync")
    if "--retry-for" in words:
        emulator.inject(Fault("503", times=99))
    expected = {"sync --page-size 0": 2, "sync --retry-for 0.1s": 1}.get(words, 0)
    if words == "status" and redirection.startswith(">"):
        expected = 1
    assert run_redirected(sqlite_command, words, redirection, tmp_path)[0] == expected


def test_output_can_be_piped_to_head(sqlite_command):
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


@pytest.mark.parametrize("words", ["status", "runs --json", "search a", "schema", "export tasks"])
def test_closed_stdout_fails_read_command_with_one_line(sqlite_command, tmp_path, words):
    sqlite_command("sync")
    code, said = run_redirected(sqlite_command, words, ">&-", tmp_path)
    assert (code, said.count("\n")) == (1, 1)
    assert re.match("Error: .*standard output", said)


@pytest.mark.parametrize("words", ["sync --json", "runs"])
def test_commands_work_with_closed_stderr(sqlite_command, words):
    sqlite_command("sync")
    done = subprocess.run(
        f"'{sys.executable}' -m etl {words} 2>&-",
        shell=True,
        check=False,
        env={**os.environ, **sqlite_command.environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert done.stdout


STREAMS = """
import os, sys
from etl.__main__ import main
sys.argv[1:] = ["--version"]
try:
    main()
finally:
    os.write(9, repr([os.readlink(f"/proc/self/fd/{number}") for number in (0, 1, 2)]).encode())
"""


def test_closed_standard_streams_are_opened_on_dev_null(tmp_path):
    """Otherwise, output of a library could end up in that file, such as the database."""
    seen = tmp_path / "seen"
    shell = f'exec 9>"{seen}" 0<&- 1>&- 2>&-; exec "$0" -c "$1"'
    subprocess.run(["bash", "-c", shell, sys.executable, STREAMS], check=False)
    assert seen.read_text() == "['/dev/null', '/dev/null', '/dev/null']"


def test_closed_stdin_declines_confirmation(sqlite_command, tmp_path):
    sqlite_command("sync")
    code, said = run_redirected(sqlite_command, "db downgrade 0001", "<&-", tmp_path)
    assert code == 1
    assert said.splitlines()[-1].startswith("Error: nothing was changed")


def test_unencodable_characters_are_escaped(sqlite_command, emulator):
    emulator.world.set_status(emulator.world.create(), "ГОТОВО")
    sqlite_command("sync")
    narrow = {"PYTHONIOENCODING": "ascii"}
    shown, listed = (
        run(sqlite_command, words, environment=narrow, capture_output=True) for words in ("status", "runs")
    )
    assert (shown.returncode, shown.stderr, listed.returncode, listed.stderr) == (0, "", 0, "")
    assert r"\u0413\u041e" in shown.stdout
