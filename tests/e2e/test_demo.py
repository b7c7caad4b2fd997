"""`gcore-etl demo` replaces the database of an earlier demo, and never the copy of an account."""

from __future__ import annotations

import sqlite3

import pytest
from click.testing import CliRunner
from support.worlds import a_world, settings_for

from etl.cli import cli
from etl.cli.demo import CLIENT_ID, SYNCS
from etl.emulator import serve
from etl.sync.session import run_sync


@pytest.mark.parametrize(
    "client_id, syncs",
    [(99, 1), (None, 1), (CLIENT_ID, SYNCS + 1)],
    ids=["another client", "no client", "more syncs"],
)
def test_a_copy_that_is_not_of_a_demo_is_not_deleted(tmp_path, client_id, syncs):
    file = tmp_path / "gcore_tasks.db"
    world = a_world(20 if client_id else 0, client_id=client_id or CLIENT_ID)
    for number in range(0 if client_id else 20):
        world.add_raw(f"{number}", b'{"task_id":"%d","status":"PENDING"}' % number)
    with serve(world) as emulator:
        for _ in range(syncs):
            run_sync(settings_for(emulator, f"sqlite:///{file}"))
    refused = CliRunner().invoke(cli, ["demo", "-o", str(file)])
    assert refused.exit_code == 2
    assert f"{file} is no database of a demo" in refused.stderr
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT count(*) FROM tasks").fetchone() == (20,)
    connection.close()
