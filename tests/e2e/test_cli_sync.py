"""`gcore-etl sync` as a process: output, stored tasks, and exit code."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import os
import queue
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.commands import error_of
from support.conditions import CONDITIONS, meet
from support.processes import TIME
from support.worlds import NOW, query, stored_states, true_states

from etl.emulator import Fault, World, serve
from etl.sync.api import writing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.commands import Command

    from etl.emulator import Emulator

KEYS = {
    "run_id", "status", "mode", "requests", "pages", "tasks_seen", "inserted", "updated", "unchanged",
    "removed", "results_archived", "rejected", "date_filter", "watermark", "duration_seconds",
}  # fmt: skip


def test_report_summarizes_sync(command, emulator):
    first, second = command("sync"), command("sync")
    assert (first.code, first.err, second.code, second.err) == (0, "", 0, "")
    title, counters, results, facts = first.out.splitlines()
    assert re.fullmatch(r"Full sync finished in \d+(\.\d)? m?s: 30 tasks, \d+ requests \(run 1\)", title)
    assert counters == "  inserted 30 · updated 0 · unchanged 0 · removed 0 · rejected 0"
    archived = sum(task.status in {"SUCCESS", "FAILURE"} for task in emulator.world.tasks.values())
    assert re.fullmatch(rf"  results: {archived} archived, \d+ pending( \(not available yet\))?", results)
    assert facts == "  watermark 2026-06-26 12:00:00 UTC · date filter gte"
    assert second.out.startswith("Incremental sync finished in ")
    assert "  inserted 0 · updated 0 · " in second.out
    assert " · count audit ok\n" in second.out
    assert stored_states(command.database_url) == true_states(emulator.world)


def test_report_is_ascii_with_ascii_encoding(sqlite_command):
    narrow = {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "etl", "sync"],
        env={**os.environ, **sqlite_command.environment, **narrow},
        check=True,
        capture_output=True,
    )
    assert b"  inserted 30 | updated 0 | unchanged 0 | removed 0 | rejected 0\n" in done.stdout


def test_json_output_is_one_object_on_one_line(command, emulator):
    first = json.loads(command("sync", "--json").out)
    emulator.world.advance(dt.timedelta(hours=30))
    ended = command("sync", "--json")
    assert (ended.code, ended.err, ended.out.count("\n")) == (0, "", 1)
    told = json.loads(ended.out)
    assert first.keys() == told.keys() >= KEYS
    assert (first["run_id"], first["mode"], first["inserted"], first["date_filter"]) == (1, "full", 30, "gte")
    assert (told["run_id"], told["mode"], told["status"]) == (2, "incremental", "succeeded")
    assert (told["watermark"], told["error"]) == ("2026-06-27T18:00:00.000000Z", None)
    assert told["requests"] >= told["pages"] > 0
    row = query(
        command.database_url, "SELECT requests, pages, tasks_seen, updated FROM sync_runs WHERE run_id = 2"
    )
    assert row == [(told["requests"], told["pages"], told["tasks_seen"], told["updated"])]


def test_failed_sync_prints_json_object(command, emulator):
    command("sync")
    emulator.behaviour.feature_disabled = True
    ended = command("sync", "--json")
    line = error_of(ended, 3)
    told = json.loads(ended.out)
    assert told.keys() >= KEYS
    assert (told["run_id"], told["status"], f"Error: {told['error']}") == (2, "failed", line)
    last = query(command.database_url, "SELECT status, error FROM sync_runs WHERE run_id = 2")
    assert last == [("failed", told["error"])]


@pytest.mark.parametrize(
    "environment", [{"GCORE_API_KEY": ""}, {"GCORE_ETL_LOOKBACK": "1"}, {"GCORE_ETL_DATABASE_URL": "nowhere"}]
)
def test_sync_that_cannot_start_prints_json_object(sqlite_command, environment):
    ended = sqlite_command("sync", "--json", **environment)
    line = error_of(ended, 3)
    told = json.loads(ended.out)
    assert told.keys() >= KEYS
    assert (told["run_id"], told["status"], f"Error: {told['error']}") == (None, "failed", line)


def test_strict_exits_5_if_record_is_rejected(command, emulator):
    usable = true_states(emulator.world)
    emulator.world.add_raw("00000000-0000-4000-8000-000000000001", b'{"status":"SUCCESS"}')
    ended = command("sync", "--strict", "--json")
    assert "1 record was rejected, and --strict is set" in error_of(ended, 5)
    told = json.loads(ended.out)
    assert (told["status"], told["rejected"], told["inserted"]) == ("succeeded", 1, 30)
    assert stored_states(command.database_url) == usable
    assert command("sync", "--full").code == 0
    assert command("sync", "--full", "--strict").code == 5


REJECTED = "1 record was rejected: "


@pytest.mark.parametrize("words", ["sync", "sync --json", "sync --full --json", "sync --strict"])
def test_rejected_records_are_warned_about_on_stderr(command, emulator, words):
    emulator.world.add_raw("00000000-0000-4000-8000-000000000001", b'{"status":"SUCCESS"}')
    ended = command(*words.split())
    (line,) = (line for line in ended.err.splitlines() if REJECTED in line)
    assert re.match(
        rf"{TIME} WARNING etl.cli.run_report: {REJECTED}run gcore-etl rejected list to see why", line
    )
    assert "task_id" in command("rejected", "list").out


def test_dry_run_warns_about_records_it_would_reject(sqlite_command, emulator):
    emulator.world.add_raw("00000000-0000-4000-8000-000000000001", b'{"status":"SUCCESS"}')
    ended = sqlite_command("sync", "--dry-run", "--json")
    assert (ended.code, json.loads(ended.out)["rejected"]) == (0, 1)
    assert "1 record would be rejected: after a sync, run gcore-etl rejected list" in ended.err


def test_failed_run_also_reports_rejected_records(command, emulator):
    emulator.world.add_raw("00000000-0000-4000-8000-000000000001", b'{"status":"SUCCESS"}')
    emulator.inject(Fault("400", times=99, after=5))
    ended = command("sync", "--json", "--page-size", "5", "--concurrency", "1")
    told = json.loads(ended.out)
    assert (ended.code, told["status"], told["rejected"]) == (1, "failed", 1)
    assert REJECTED in ended.err
    assert f"Error: {told['error']}" == error_of(ended, 1)


def test_no_warning_if_nothing_is_rejected(command):
    assert (command("sync", "--json").err, command("sync").err) == ("", "")


def test_strict_exits_0_if_nothing_is_rejected(sqlite_command):
    assert sqlite_command("sync", "--strict").code == 0


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_dry_run_creates_no_database(sqlite_command, tmp_path):
    ended = sqlite_command("sync", "--dry-run")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("Dry run (full sync) finished in ")
    assert list(tmp_path.iterdir()) == []


def test_dry_run_reports_changes_without_writing(sqlite_command, emulator, tmp_path):
    sqlite_command("sync")
    emulator.world.finish(emulator.world.create())
    before = contents(tmp_path)
    told = json.loads(sqlite_command("sync", "--dry-run", "--json").out)
    assert (told["run_id"], told["inserted"], told["dry_run"]) == (None, 1, True)
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before


def test_dry_run_leaves_no_files_behind(sqlite_command, tmp_path):
    sqlite_command("sync")
    before = contents(tmp_path)
    sqlite_command("sync", "--dry-run")
    assert contents(tmp_path).keys() == before.keys()


def test_dry_run_on_postgres_writes_no_rows(command, emulator):
    command("sync")
    emulator.world.finish(emulator.world.create())
    tables = ("tasks", "task_history", "task_results", "sync_runs", "sync_state")
    before = [query(command.database_url, f"SELECT * FROM {table}") for table in tables]
    assert json.loads(command("sync", "--dry-run", "--json").out)["inserted"] == 1
    assert [query(command.database_url, f"SELECT * FROM {table}") for table in tables] == before


@pytest.mark.parametrize("since", ["2026-06-20", "2026-06-20T00:00:00Z", "2026-06-20T02:00+02:00"])
def test_since_reads_tasks_created_since_then(sqlite_command, emulator, since):
    told = json.loads(sqlite_command("sync", "--since", since, "--json").out)
    start = dt.datetime(2026, 6, 20, tzinfo=dt.UTC)
    expected = {task.task_id for task in emulator.world.tasks.values() if task.created_at >= start}
    assert told["mode"] == "since"
    assert expected <= stored_states(sqlite_command.database_url).keys()
    assert {"date_created": "2026-06-20T00:00:00Z"}.items() <= dict(
        pair
        for record in emulator.requests
        for pair in record.query.items()
        if record.query.get("limit") != "1"
    ).items()


def test_since_earliest_date_reads_everything(sqlite_command, emulator):
    assert sqlite_command("sync", "--since", "0001-01-01", "--date-filter", "day").code == 0
    assert stored_states(sqlite_command.database_url) == true_states(emulator.world)


FILTERS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "--status": ("SUCCESS", lambda task: task.status == "SUCCESS"),
    "--task-name": ("transcription", lambda task: task.task_name == "transcription"),
    "--search": ("nudity", lambda task: "nudity" in str(task.task_data)),
}


@pytest.mark.parametrize("option", FILTERS)
def test_partial_sync_reads_only_matching_tasks(sqlite_command, emulator, option):
    value, is_meant = FILTERS[option]
    expected = {task.task_id for task in emulator.world.tasks.values() if is_meant(task)}
    assert 0 < len(expected) < 30
    told = json.loads(sqlite_command("sync", option, value, "--json").out)
    assert (told["mode"], told["watermark"]) == ("partial", None)
    assert stored_states(sqlite_command.database_url).keys() == expected


def test_single_task_is_synced_by_id(sqlite_command, emulator):
    task_id = min(emulator.world.tasks)
    assert json.loads(sqlite_command("sync", "--task-id", task_id, "--json").out)["inserted"] == 1
    assert stored_states(sqlite_command.database_url).keys() == {task_id}


def check_sync(command: Command, emulator: Emulator, name: str) -> None:
    ended = command("sync", **meet(command, emulator, name))
    assert CONDITIONS[name].words in error_of(ended, CONDITIONS[name].code)
    assert ended.out == ""
    assert "canary" not in ended.err


def check_doctor(command: Command, emulator: Emulator, name: str) -> None:
    ended = command("doctor", **meet(command, emulator, name))
    lines = [*ended.out.splitlines(), *ended.complaints]
    (failure,) = [line for line in lines if line.startswith(("FAIL", "Error: "))]
    assert ended.code == CONDITIONS[name].code
    assert CONDITIONS[name].words in failure
    assert "canary" not in ended.out + ended.err


@pytest.mark.parametrize("condition", CONDITIONS)
def test_sync_errors_have_exit_code_and_one_line_of_advice(sqlite_command, emulator, condition):
    check_sync(sqlite_command, emulator, condition)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_doctor_exit_code_matches_sync(sqlite_command, emulator, condition):
    check_doctor(sqlite_command, emulator, condition)


@pytest.mark.parametrize("check", [check_sync, check_doctor])
@pytest.mark.parametrize("condition", ["newer schema", "other tables"])
def test_incompatible_schema_is_refused(command, emulator, condition, check):
    check(command, emulator, condition)


def test_doctor_passes_all_checks_on_working_setup(command):
    first = ["key", "network", "API", "pages", "clock"]
    for number, found in enumerate(
        ("no database" if "sqlite" in command.database_url else "no tables", "written")
    ):
        ended = command("doctor")
        assert (ended.code, ended.err) == (0, "")
        names = [line.split()[1] for line in ended.out.splitlines() if line.startswith("ok ")]
        assert names[: 6 + number] == [*first, *["account"][:number], "database"]
        assert len(names) == ended.out.count("\n")
        assert found in ended.out
        command("sync")


# In the order in which a sync finds them.
PROBLEMS = (
    "no key", "unknown kind of proxy", "no certificates", "another database", "no database", "other tables",
    "unreachable", "no API there", "wrong key",
)  # fmt: skip


PAIRS = [
    (first, second)
    for first, second in itertools.combinations(PROBLEMS, 2)
    if CONDITIONS[first].environment.keys().isdisjoint(CONDITIONS[second].environment)
]


@pytest.mark.parametrize("names", PAIRS, ids=" and ".join)
def test_doctor_exit_code_matches_sync_with_two_problems(sqlite_command, emulator, names):
    first, second = (meet(sqlite_command, emulator, name) for name in names)
    synced, examined = (sqlite_command(words, **first, **second) for words in ("sync", "doctor"))
    assert examined.code == synced.code > 0
    failures = [line for line in examined.out.splitlines() if line.startswith("FAIL")]
    assert any(CONDITIONS[name].words in line for name in names for line in failures)


def test_another_account_is_refused_with_exit_code_3(command, emulator):
    command("sync")
    world = World.seeded(30, seed=8, now=NOW, span=dt.timedelta(days=20), client_id=99)
    with serve(world, api_key=emulator.api_key) as other:
        line = error_of(command("sync", GCORE_BASE_URL=other.base_url), 3)
        assert "--allow-account-change" in line
        assert command("sync", "--allow-account-change", GCORE_BASE_URL=other.base_url).code in {0, 1}


def test_mass_removal_is_refused_unless_allowed(sqlite_command, emulator):
    sqlite_command("sync")
    for task_id in list(emulator.world.tasks):
        emulator.world.delete(task_id)
    assert "--allow-mass-removal" in error_of(sqlite_command("sync", "--full"), 1)
    ended = sqlite_command("sync", "--full", "--allow-mass-removal")
    assert ended.code == 0
    assert " · removed 30 · " in ended.out


def test_older_schema_is_upgraded_unless_no_migrate(command):
    command("db", "upgrade", "0003")
    assert "run gcore-etl db upgrade" in error_of(command("sync", "--no-migrate"), 4)
    assert command("sync").code == 0


def test_second_writer_exits_75_or_waits(command, nursery):
    command("sync")
    with writing(command.database_url):
        refused = command("sync", "--json")
        line = error_of(refused, 75)
        assert "--wait" in line
        assert f"Error: {json.loads(refused.out)['error']}" == line
        waiting = nursery.start(command.environment, "sync", "--wait", "--json")
        with pytest.raises(queue.Empty):
            waiting.await_end(0.5)
    ended = waiting.await_end()
    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.out)["run_id"] == 2


def test_no_results_fetches_no_results(sqlite_command, emulator):
    assert sqlite_command("sync", "--no-results").code == 0
    assert not any(record.target == "detail" for record in emulator.requests)
    assert json.loads(sqlite_command("sync", "--max-results", "5", "--json").out)["results_archived"] == 5
