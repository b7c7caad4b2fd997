"""Mistyped, empty and accidental values: one line that says what to do, never an unexpected error."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.grids import one_in

if TYPE_CHECKING:
    from pathlib import Path

    from support.commands import Command
    from support.processes import Ended

BROKEN = "\udcff"  # a byte that is not UTF-8
NUMBERS = ("-1", "nan", "inf", "1.5x", "0x10", "", BROKEN, "9" * 5000)
COUNTS = (
    "sync --page-size", "sync --concurrency", "sync --max-results", "watch --page-size", "doctor --max-rate",
    "runs --limit", "search a --limit", "rejected list --limit", "explore --port", "emulator --port",
    "emulator --tasks", "emulator --page-cap", "emulator --days", "emulator --speed",
    "emulator --arrivals-per-hour", "emulator --rate-limit",
)  # fmt: skip
SPANS = ("0s", "-1s", "5", "nan", "infs", "1e5s", "9" * 400 + "d", "36501d", "1w", "", BROKEN, "5m5s")
SPANNED = ("sync --retry-for", "sync --lookback", "doctor --audit-every", "watch --every")
DATES = (
    "2026-02-30", "now", "", BROKEN, "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00",
    "1970-01-01T00:00:00+25:00", "-0001-01-01", "12026-01-01", "2026-06-30T24:30",
)  # fmt: skip
DATED = (
    "sync --since",
    "search a --since",
    "export tasks --since",
    "export tasks --until",
    "report -o - --since",
)
TEXTS = (
    "search",
    "search a --language",
    "export tasks --task-name",
    "export tasks --status",
    "sync --search",
)


def check_wrong_usage(ended: Ended, code: int = 2) -> str:
    """Check that the error is one line, and return it."""
    assert ended.code == code, ended
    (line,) = ended.complaints
    assert line.startswith("Error: "), line
    assert "unexpected" not in line
    return line


@one_in(8, "words, value", COUNTS, NUMBERS)
def test_invalid_number_is_usage_error(sqlite_command, words, value):
    check_wrong_usage(sqlite_command(*words.split(), value))


@pytest.mark.parametrize(
    "words",
    [
        *("sync --page-size 0", "sync --max-results 0", "runs --limit 0", "emulator --rate-limit 0"),
        *("emulator --page-cap 0", "sync --concurrency 1e3", "explore --port 1e3", "runs --limit 1e3"),
        *(f"{name} {'9' * 30}" for name in ("sync --page-size", "runs --limit", "emulator --days")),
    ],
)
def test_out_of_range_number_is_usage_error(sqlite_command, words):
    check_wrong_usage(sqlite_command(*words.split()))


@one_in(8, "words, value", SPANNED, SPANS)
def test_invalid_duration_is_usage_error(sqlite_command, words, value):
    line = check_wrong_usage(sqlite_command(*words.split(), value))
    assert "90s" in line or "hundred years" in line


@one_in(8, "words, value", DATED, DATES)
def test_invalid_date_is_usage_error(sqlite_command, words, value):
    assert "write 2026-06-30" in check_wrong_usage(sqlite_command(*words.split(), value))


@one_in(
    8,
    "date, words",
    ["0001-01-01", "9999-12-31", "9999-12-31T23:59:59.999999Z"],
    ["sync --no-results --since", "search a --since", "export tasks --until", "report -o - --until",
     "report -o - --since", "export task_daily --since", "report -o - --since 2026-01-01 --until"],
)  # fmt: skip
def test_earliest_and_latest_dates_do_not_crash(sqlite_command, words, date):
    sqlite_command("sync", "--no-results")
    ended = sqlite_command(*words.split(), date)
    assert ended.code in {0, 2}, ended
    assert "unexpected" not in ended.err


@pytest.mark.parametrize("words", TEXTS)
def test_non_utf8_text_is_usage_error(command, words):
    command("db", "upgrade")
    assert "not valid UTF-8" in check_wrong_usage(command(*words.split(), f"a{BROKEN}b"))


@one_in(
    2,
    "words, revision",
    ["db upgrade", "db downgrade --yes"],
    ["", "@", "head@x", "0001:0003", "0001,0002", "'; --", "../0001", BROKEN],
)
def test_invalid_revision_is_usage_error_and_changes_nothing(command, words, revision):
    command("db", "upgrade")
    assert "is not a revision: write 0003" in check_wrong_usage(command(*words.split(), "--", revision))
    assert command("db", "check").code == 0


ADDRESSES = {
    "sqlite:///%00": "zero character",
    "sqlite:///a%00b.db": "zero character",
    "postgresql://h%00/d": "zero character",
    "postgresql://u:p%00w@h/d": "zero character",
    f"postgresql://{BROKEN}/d": "not valid UTF-8",
    f"postgresql://h/{BROKEN}": "not valid UTF-8",
}


@one_in(8, "words, address", ["status", "sync", "doctor", "db upgrade", "explore --no-open"], ADDRESSES)
def test_malformed_database_url_is_rejected(sqlite_command, words, address):
    line = check_wrong_usage(sqlite_command(*words.split(), "-d", address))
    assert ADDRESSES[address] in line
    line = check_wrong_usage(sqlite_command(*words.split(), GCORE_ETL_DATABASE_URL=address), 3)
    assert ADDRESSES[address] in line


@pytest.mark.parametrize("words", ["explore --no-open", "emulator"])
@pytest.mark.parametrize("host", ["", "a b", "..", BROKEN, "256.1.1.1", "a" * 64])
def test_invalid_host_is_one_line_error(sqlite_command, words, host):
    sqlite_command("db", "upgrade")
    ended = sqlite_command(*words.split(), "--port", "0", "--host", host)
    check_wrong_usage(ended, 3 if host else 2)


@pytest.mark.parametrize("key", ["", "a b", "a\nb", "é", BROKEN])
def test_emulator_rejects_malformed_api_key(sqlite_command, key):
    assert "the key " in check_wrong_usage(sqlite_command("emulator", "--port", "0", "--api-key", key))


@pytest.mark.parametrize(
    "words",
    [
        *("status -d sqlite", "sync -d sqlite", "doctor -d sqlite", "export tasks -d sqlite"),
        *("db upgrade -d sqlite", "search a -d sqlite", "status -d sqlite+pysqlite"),
    ],
)
def test_deleted_working_directory_is_reported(sqlite_command, tmp_path, words):
    done = run_in_deleted_folder(sqlite_command, tmp_path, f"{words}:///tasks.db")
    assert done.returncode == 3
    assert done.stderr.startswith("Error: the current folder no longer exists")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", ["status", "sync --no-results", "export tasks", "--help"])
def test_absolute_paths_work_in_deleted_working_directory(sqlite_command, tmp_path, words):
    sqlite_command("sync", "--no-results")
    assert run_in_deleted_folder(sqlite_command, tmp_path, words).returncode == 0


def run_in_deleted_folder(command: Command, folder: Path, words: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder that was deleted after the shell entered it."""
    gone = shlex.quote(str(folder / "gone"))
    return subprocess.run(
        f"mkdir {gone} && cd {gone} && rmdir {gone} && exec '{sys.executable}' -m etl {words}",
        shell=True,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **command.environment},
    )


ENVIRONMENTS = {
    "no home": {"HOME": ""},
    "no such home": {"HOME": "/nonexistent"},
    "locale C": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "no such locale": {"LC_ALL": "xx_YY.ZZZ"},
    "no such zone": {"TZ": "Nowhere/City"},
    "odd terminal": {"TERM": "rubbish", "COLUMNS": "wide", "LINES": "-1"},
    "narrow": {"COLUMNS": "1"},
    "warnings are errors": {"PYTHONWARNINGS": "error"},
    "ASCII": {"PYTHONIOENCODING": "ascii:strict"},
    "no asserts": {"PYTHONOPTIMIZE": "2"},
}


@one_in(
    10,
    "name, words",
    ENVIRONMENTS,
    ["sync", "status", "report -o -", "search größe", "export tasks", "--help"],
)
def test_commands_work_in_unusual_environments(sqlite_command, name, words):
    sqlite_command("sync")
    done = subprocess.run(
        [sys.executable, "-m", "etl", *words.split()],
        env={**os.environ, **sqlite_command.environment, **ENVIRONMENTS[name]},
        check=False,
        capture_output=True,
    )
    assert done.returncode == 0, done
    assert done.stderr in {b"", b"nothing found\n"}
    assert done.stdout or words.startswith("search")
