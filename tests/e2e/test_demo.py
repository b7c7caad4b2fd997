"""`gcore-etl demo` replaces only databases that an earlier demo created."""

from __future__ import annotations

import datetime as dt
import shlex
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.stored import as_instant
from support.worlds import a_world, query, settings_for

from etl.cli import cli
from etl.cli.demo import CLIENT_ID, SYNCS
from etl.database import sqlite_url
from etl.emulator import serve
from etl.sync.api import run_sync


@pytest.mark.parametrize(
    "client_id, syncs",
    [(99, 1), (None, 1), (CLIENT_ID, SYNCS + 1)],
    ids=["another client", "no client", "more syncs"],
)
def test_demo_does_not_overwrite_non_demo_database(tmp_path, client_id, syncs):
    file = tmp_path / "gcore_tasks.db"
    world = a_world(20 if client_id else 0, client_id=client_id or CLIENT_ID)
    for number in range(0 if client_id else 20):
        world.add_raw(f"{number}", b'{"task_id":"%d","status":"PENDING"}' % number)
    with serve(world) as emulator:
        for _ in range(syncs):
            run_sync(settings_for(emulator, f"sqlite:///{file}"))
    refused = CliRunner().invoke(cli, ["demo", "-o", str(file)])
    assert refused.exit_code == 2
    assert f"{file} is not the database of an earlier demo" in refused.stderr
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT count(*) FROM tasks").fetchone() == (20,)
    connection.close()


def test_the_demo_and_its_report_end_at_the_present(tmp_path, monkeypatch):
    """Nothing in them is in the future. The file has a name that needs quoting in a shell and in a URL."""
    monkeypatch.chdir(tmp_path)
    file, began = Path("my demo's 100%41.db"), dt.datetime.now(dt.UTC)
    ended = CliRunner().invoke(cli, ["demo", "-o", str(file)])
    assert ended.exit_code == 0
    newest = query(
        sqlite_url(file), "SELECT max(coalesce(completed_at, started_at, created_before)) FROM tasks"
    )[0][0]
    assert began - dt.timedelta(hours=1) <= as_instant(newest) <= dt.datetime.now(dt.UTC)
    assert "<!DOCTYPE html>" in Path("my demo's 100%41_report.html").read_text("utf-8")
    names = {path.name for path in tmp_path.iterdir()}
    printed = [line.strip() for line in ended.stdout.splitlines() if " -d " in line]
    for command in printed:
        program, *words = shlex.split(command)
        assert program == "gcore-etl"
        if "explore" not in words:
            assert CliRunner().invoke(cli, words).exit_code == 0, command
    assert {path.name for path in tmp_path.iterdir()} == names | {"demo_subtitles"}
    assert len(printed) > 4
