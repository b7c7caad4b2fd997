"""Records that could not be loaded are kept, listed, and tried again."""

from __future__ import annotations

import datetime as dt
import json

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from support.worlds import a_world, query, settings_for, stored_states

from etl.cli import cli
from etl.emulator import Behaviour, serve
from etl.load.rejected_records import raw_hash
from etl.models import REJECTED
from etl.sync import batch, retry_rejected
from etl.sync.api import run_sync, writing
from etl.sync.options import SyncOptions

NOON = dt.datetime(2026, 6, 26, 12, tzinfo=dt.UTC)
LOADABLE = '{"task_id":"a","status":"SUCCESS","progress":100,"task_data":{"client_id":5}}'


def store_rejected(database_url: str, *texts: str) -> None:
    """Insert these texts as rejected records, as an older release may have done."""
    with writing(database_url) as connection, connection.begin():
        for text in texts:
            row = {"run_id": 3, "received_at": NOON, "reason": "too new", "raw": text}
            connection.execute(sa.insert(REJECTED).values(**row, raw_hash=raw_hash(text.encode())))


def run(*arguments: str) -> str:
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_rejected_records_count_towards_the_batch_size(migrated_url, monkeypatch):
    world = a_world(0)
    for number in range(40):
        world.add_raw(f"{number:08}-0000-4000-8000-000000000001", b'{"number":%d}' % number)
    kept = []
    flush = batch.BatchLoader.flush

    def counted(self) -> None:
        flush(self)
        kept.append(query(migrated_url, "SELECT count(*) FROM rejected_records")[0][0])

    monkeypatch.setattr(batch, "BATCH_ROWS", 10)
    monkeypatch.setattr(batch.BatchLoader, "flush", counted)
    with serve(world, Behaviour(page_cap=10)) as emulator:
        assert run_sync(settings_for(emulator, migrated_url)).rejected == 40
    assert kept[0] < kept[-1] == 40


def test_retry_loads_readable_records_into_their_original_run(migrated_url):
    store_rejected(migrated_url, LOADABLE, '{"status":"SUCCESS"}')
    assert json.loads(run("rejected", "retry", "-d", migrated_url, "--json")) == {
        "loaded": 1,
        "known": 0,
        "still_rejected": 1,
    }
    assert stored_states(migrated_url) == {"a": ("SUCCESS", 100)}
    events = query(migrated_url, "SELECT task_id, run_id, event, status, progress FROM task_history")
    assert events == [("a", 3, "discovered", "SUCCESS", 100)]
    assert query(migrated_url, "SELECT raw FROM rejected_records") == [('{"status":"SUCCESS"}',)]
    assert query(migrated_url, "SELECT present_tasks FROM sync_state") == [(1,)]


def test_retry_does_not_change_stored_tasks(migrated_url):
    store_rejected(migrated_url, LOADABLE)
    run("rejected", "retry", "-d", migrated_url)
    store_rejected(migrated_url, LOADABLE.replace("100", "50"))
    outcome = json.loads(run("rejected", "retry", "-d", migrated_url, "--json"))
    assert outcome == {"loaded": 0, "known": 1, "still_rejected": 0}
    assert stored_states(migrated_url) == {"a": ("SUCCESS", 100)}
    assert query(migrated_url, "SELECT count(*) FROM rejected_records") == [(0,)]


@pytest.mark.parametrize("size", [1, 2, 500])
def test_retry_loads_the_latest_record_of_a_task(migrated_url, monkeypatch, size):
    monkeypatch.setattr(retry_rejected, "BATCH", size)
    older = LOADABLE.replace("SUCCESS", "STARTED").replace("100", "50")
    store_rejected(migrated_url, older, "7", LOADABLE, "null")
    outcome = json.loads(run("rejected", "retry", "-d", migrated_url, "--json"))
    assert outcome == {"loaded": 1, "known": 1, "still_rejected": 2}
    assert stored_states(migrated_url) == {"a": ("SUCCESS", 100)}
    assert query(migrated_url, "SELECT raw FROM rejected_records ORDER BY rejected_id") == [("7",), ("null",)]


def test_a_second_retry_changes_nothing(migrated_url):
    store_rejected(migrated_url, "7", "null")
    for _ in range(2):
        assert run("rejected", "retry", "-d", migrated_url) == (
            "0 loaded, 0 already stored, 2 still rejected\n"
        )


@pytest.mark.parametrize("raw", [b'{"status":"SUCCESS"}', b'{"task_id":7,"text":"\xc3\xa4\xff"}'])
def test_rejected_record_is_listed_with_its_full_text(database_url, raw):
    world = a_world(20)
    world.add_raw("00000000-0000-4000-8000-000000000001", raw)
    with serve(world) as emulator:
        run_sync(settings_for(emulator, database_url), SyncOptions(with_results=False))
    (listed,) = map(json.loads, run("rejected", "list", "-d", database_url, "--json").splitlines())
    assert listed["raw"] == raw.decode("utf-8", "backslashreplace")
    assert listed["reason"].startswith(("no task_id", "task_id is not text"))
    assert "task_id" in run("rejected", "list", "-d", database_url)


def test_retry_is_refused_while_a_sync_is_running(migrated_url):
    with writing(migrated_url):
        result = CliRunner().invoke(cli, ["rejected", "retry", "-d", migrated_url])
    assert result.exit_code == 75
