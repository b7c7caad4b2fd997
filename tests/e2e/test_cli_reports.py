"""`status`, `runs` and `db` as processes: their output, and their errors without a database."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from support.commands import error_of
from support.worlds import query, stored_states, true_states

READERS = ("status", "status --json", "runs", "runs --json", "db check")


@pytest.mark.parametrize("words", READERS)
def test_missing_database_is_reported_and_not_created(sqlite_command, tmp_path, words):
    ended = sqlite_command(*words.split())
    line = error_of(ended, 4)
    assert f"no database at {tmp_path}/tasks.db: run gcore-etl sync" in line
    assert (ended.out, list(tmp_path.iterdir())) == ("", [])


@pytest.mark.parametrize("words", READERS)
def test_database_without_tables_is_reported(command, words):
    if command.database_url.startswith("sqlite"):
        command("db", "upgrade")
        command("db", "downgrade", "base", "--yes")
    ended = command(*words.split())
    assert "no tables yet: run gcore-etl sync" in error_of(ended, 4)
    assert ended.out == ""


@pytest.mark.parametrize("words", READERS)
def test_read_commands_need_no_api_key(command, words):
    command("db", "upgrade")
    ended = command(*words.split(), GCORE_API_KEY="")
    assert (ended.code, ended.err) == (0, "")


def test_status_before_first_sync(command):
    command("db", "upgrade")
    told = command("status").out
    for words in ("never synced", "last run: +none", "total +0"):
        assert re.search(words, told)
    assert json.loads(command("status", "--json").out)["present"] == 0
    assert command("runs", "--json").out == ""


def test_status_shows_counts_and_freshness(command, emulator):
    emulator.world.create()
    command("sync", "--no-results")
    ended = command("status")
    assert (ended.code, ended.err) == (0, "")
    for words in (
        "RECEIVED +1\n",
        "total +31\n",
        "watermark: +2026-06-26 12:00:00 UTC",
        "date filter: +gte",
        r"last successful run: +20\d\d-.+ UTC \(\d[^)]* ago\)",
        r"last run: +1 \(full\), succeeded",
    ):
        assert re.search(words, ended.out)
    told = json.loads(command("status", "--json").out)
    states = [status for status, _ in true_states(emulator.world).values()]
    assert told["by_status"] == {status: states.count(status) for status in sorted(set(states))}
    assert (told["present"], told["removed"], told["rejected"]) == (31, 0, 0)
    assert told["in_flight"] == sum(status not in {"SUCCESS", "FAILURE", "REVOKED"} for status in states)
    assert told["results_waiting"] == sum(status in {"SUCCESS", "FAILURE"} for status in states)
    assert (told["last_run"]["run_id"], told["last_run"]["status"]) == (1, "succeeded")


def test_status_counts_tasks_without_a_status(command, emulator):
    emulator.world.add_raw("1", b'{"task_id":"1","status":null}')
    emulator.world.add_raw("2", b'{"task_id":"2","status":"None"}')
    assert command("sync").code == 0
    table = command("status").out
    assert re.search(r"^- +1$", table, re.MULTILINE)
    assert re.search(r"^None +1$", table, re.MULTILINE)
    told = json.loads(command("status", "--json").out)
    assert (told["by_status"]["null"], told["by_status"]["None"]) == (1, 1)
    assert told["present"] == sum(told["by_status"].values()) == 32


def test_status_and_runs_show_failed_run(command, emulator):
    command("sync")
    emulator.behaviour.feature_disabled = True
    assert command("sync").code == 3
    assert re.search(r"last run: +2 \(incremental\), failed\nlast error: +AI tasks", command("status").out)
    newest, first = command("runs", "--json").out.splitlines()
    assert (json.loads(first)["status"], json.loads(newest)["status"]) == ("succeeded", "failed")
    assert command("runs").out.splitlines()[-1].startswith("run 2: AI tasks are not enabled")
    assert "not enabled" in json.loads(newest)["error"]


def test_runs_lists_latest_runs_newest_first(command):
    for _ in range(3):
        command("sync", "--no-results")
    ended = command("runs", "--limit", "2")
    assert (ended.code, ended.err) == (0, "")
    title, _, *rows = ended.out.splitlines()
    assert title.split()[:5] == ["run_id", "started_at", "mode", "status", "duration"]
    assert [row.split()[0] for row in rows if row.strip()] == ["3", "2"]
    assert [json.loads(line)["run_id"] for line in command("runs", "--json").out.splitlines()] == [3, 2, 1]


def test_db_commands_upgrade_and_downgrade_schema(command):
    head = re.fullmatch(r"schema (\d{4}) \(was empty\)\n", command("db", "upgrade").out)[1]
    assert command("db", "upgrade").out == f"schema {head} (unchanged)\n"
    assert command("db", "current").out == f"{head} (latest: {head})\n"
    assert command("db", "check").out == "the schema matches this release\n"
    assert command("db", "downgrade", "0001", "--yes").out == f"schema 0001 (was {head})\n"
    assert command("db", "current").out == f"0001 (latest: {head})\n"
    assert "run gcore-etl db upgrade" in error_of(command("db", "check"), 4)
    assert command("db", "upgrade", "0003").out == "schema 0003 (was 0001)\n"
    assert command("db", "downgrade", "base", "--yes").out == "schema empty (was 0003)\n"
    assert command("db", "current").out == f"empty (latest: {head})\n"


def test_db_upgrade_builds_missing_indexes(sqlite_command):
    command = sqlite_command
    command("db", "upgrade")
    from etl.database import open_engine  # noqa: PLC0415
    from etl.load.indexes import defer_indexes  # noqa: PLC0415

    def cut_short() -> None:
        engine = open_engine(command.database_url)
        with engine.begin() as connection:
            defer_indexes(connection)
        engine.dispose()

    cut_short()
    ended = command("db", "check")
    assert "run gcore-etl sync or gcore-etl db upgrade" in error_of(ended, 4)
    assert ended.out.count("add_index: ") == 5
    assert command("db", "upgrade").code == 0
    assert command("db", "check").code == 0
    cut_short()
    assert command("db", "downgrade", "0003", "--yes").code == 0
    assert command("db", "upgrade").code == 0
    assert command("db", "check").code == 0


@pytest.mark.parametrize("words", ["upgrade", "downgrade --yes"])
def test_unknown_revision_changes_nothing(command, words):
    command("db", "upgrade")
    assert "cannot go to schema 7777" in error_of(command("db", *words.split(), "7777"), 4)
    assert command("db", "check").code == 0


def test_db_check_lists_schema_differences(command):
    command("db", "upgrade")
    before = command("db", "check").out
    from etl.database import open_engine  # noqa: PLC0415

    engine = open_engine(command.database_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP VIEW freshness")
        connection.exec_driver_sql("ALTER TABLE sync_runs DROP COLUMN version")
    engine.dispose()
    ended = command("db", "check")
    assert "differs from this release in 2 places" in error_of(ended, 4)
    assert "the view freshness is missing" in ended.out
    assert "sync_runs.version" in ended.out
    assert before != ended.out


@pytest.mark.parametrize("answer, is_agreed", [("y\n", True), ("n\n", False), ("", False)])
def test_downgrade_asks_for_confirmation_on_stderr(sqlite_command, answer, is_agreed):
    sqlite_command("sync")
    done = subprocess.run(
        [sys.executable, "-m", "etl", "db", "downgrade", "0001"],
        input=answer,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **sqlite_command.environment},
    )
    assert done.stderr.startswith(
        "Tables and columns newer than 0001 will be dropped with their data. Continue? [y/N]"
    )
    if is_agreed:
        assert (done.returncode, done.stdout[:12]) == (0, "schema 0001 ")
    else:
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.splitlines()[-1].startswith("Error: nothing was changed")
        assert query(sqlite_command.database_url, "SELECT count(*) FROM sync_runs") == [(1,)]


def test_tasks_survive_downgrade_and_upgrade(command, emulator):
    command("sync")
    command("db", "downgrade", "0001", "--yes")
    command("db", "upgrade")
    assert stored_states(command.database_url) == true_states(emulator.world)
    assert command("sync").code == 0
