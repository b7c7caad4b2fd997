"""Names that scripts depend on: commands, options, exit codes and JSON keys, compared with literal lists."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import TYPE_CHECKING

import click
import pytest
from support.commands import all_commands
from support.worlds import a_world

from etl import errors
from etl.cli import cli
from etl.cli.options import EPILOG, EXIT_CODES
from etl.emulator import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.commands import Command

    from etl.emulator import Emulator

SOURCE = (
    "-d --database-url --page-size --concurrency --max-rate --retry-for --lookback --max-results "
    "--audit-every --date-filter"
)
# The arguments and options of each command, besides --help and --verbose.
COMMANDS = {
    "": "--version",
    "sync": "--full --since --task-name --status --search --task-id --results --no-results --strict --json "
    f"--allow-mass-removal --allow-account-change --dry-run --wait --timeout --no-migrate {SOURCE}",
    "watch": f"--every --results --no-results --json {SOURCE}",
    "status": "-d --database-url --json",
    "runs": "-d --database-url --limit --json",
    "search": "TEXT --language --since --limit -d --database-url --json",
    "export": "TABLE -o --output --format --since --until --task-name --status --partition-by --excel "
    "--separator --raw --force -d --database-url",
    "report": "-o --output --since --until -d --database-url",
    "explore": "--host --port --open --no-open --allow-host -d --database-url",
    "schema": "NAME -d --database-url --json",
    "rejected": "",
    "rejected list": "-d --database-url --limit --json",
    "rejected retry": "-d --database-url --wait --json",
    "doctor": SOURCE,
    "db": "",
    "db upgrade": "REVISION --wait -d --database-url",
    "db downgrade": "REVISION --wait --yes -d --database-url",
    "db current": "-d --database-url",
    "db check": "-d --database-url",
    "emulator": "--host --port --api-key --tasks --days --seed --client-id --arrivals-per-hour --speed "
    "--page-cap --date-filter-means --past-end --shape --expired --nulls --allow-host --latency "
    "--rate-limit",
    "demo": "-o --output",
    "completion": "SHELL",
}
RUN = (
    "run_id started_at finished_at mode status requests pages tasks_seen inserted updated unchanged removed "
    "results_archived rejected watermark_before watermark_after error version"
)
SUMMARY = (
    "run_id status mode requests pages tasks_seen inserted updated unchanged removed results_archived "
    "rejected results_waiting results_at_risk results_syncs_left results_seconds_left first_result_lost_at "
    "unreadable_times date_filter audit watermark_before watermark started_at duration_seconds dry_run error"
)
KEYS = {
    "sync": SUMMARY,
    "sync --dry-run": SUMMARY,
    "status": "by_status removed deleted_waiting in_flight rejected results_waiting results_expiring_soon "
    "first_result_lost_at watermark date_filter last_full_at last_run last_success_at present",
    "runs": RUN,
    "search guten": "rank task_id start_seconds end_seconds snippet url languages completed_at",
    "schema tasks": "name kind comment columns",
    "rejected list": "rejected_id run_id received_at reason raw",
    "rejected retry": "loaded known still_rejected",
}
CODES = ["0", "1", "2", "3", "4", "5", "75", "129, 130, 143"]
ERROR_CODES = {
    "EtlError": 1, "ConfigurationError": 3, "SourceError": 1, "DatabaseError": 4, "ExportError": 1,
    "UnsuitableExport": 2, "RecordsRejected": 5, "SyncRunning": 75,
}  # fmt: skip


def test_commands_match_list():
    assert all_commands().keys() == COMMANDS.keys()


@pytest.mark.parametrize("words", COMMANDS)
def test_options_match_list(words):
    parameters = all_commands()[words].params
    names = {
        name for each in parameters for name in (*each.opts, *each.secondary_opts) if each.opts[0][0] == "-"
    }
    names |= {each.human_readable_name for each in parameters if isinstance(each, click.Argument)}
    assert names - {"-v", "--verbose"} == set(COMMANDS[words].split())


def test_every_json_command_has_key_list():
    with_json = {words for words, options in COMMANDS.items() if "--json" in options.split()}
    listed = {re.sub(r" (--dry-run|guten|tasks)$", "", words) for words in KEYS}
    assert with_json - {"watch"} == listed


def test_exit_codes_match_help_and_errors():
    assert list(EXIT_CODES) == CODES
    assert [line.split("  ")[1] for line in EPILOG.splitlines()[2:]] == CODES
    assert cli.epilog == EPILOG == all_commands()["sync"].epilog
    assert {name: getattr(errors, name).exit_code for name in ERROR_CODES} == ERROR_CODES


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Serve a world at the current time, so that results are not expired."""
    with serve(a_world(10, now=dt.datetime.now(dt.UTC).replace(microsecond=0))) as emulator:
        yield emulator


@pytest.fixture
def synced(sqlite_command: Command, emulator: Emulator) -> Command:
    """Return the command after a sync that archived a transcript and rejected a record."""
    subtitles = [{"start_time": "00:00:01.000", "end_time": "00:00:02.000", "text": "guten abend"}]
    emulator.world.finish(emulator.world.create(), {"subtitles": subtitles, "languages": ["ger"]})
    emulator.world.add_raw("00000000-0000-4000-8000-000000000001", b'{"status":"SUCCESS"}')
    assert sqlite_command("sync").code == 0
    return sqlite_command


def test_json_keys_match_list(synced):
    for words, keys in KEYS.items():
        ended = synced(*words.split(), "--json")
        assert ended.code == 0, (words, ended)
        assert list(json.loads(ended.out.splitlines()[0])) == keys.split(), words
    last_run = json.loads(synced("status", "--json").out)["last_run"]
    assert list(last_run) == RUN.split()


def test_watch_json_has_same_keys_as_sync(sqlite_command, emulator):
    emulator.behaviour.feature_disabled = True
    ended = sqlite_command("watch", "--json")
    assert ended.code == 3
    assert list(json.loads(ended.out)) == SUMMARY.split()
