"""The command over a socket and with a real database, as a scheduler runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from support.grids import one_in
from support.worlds import a_world, query, settings_for, stored_states, true_states

from etl.emulator import Behaviour, serve
from etl.sync.api import run_sync, writing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.emulator import Emulator


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with serve(a_world(), Behaviour(page_cap=20)) as emulator:
        yield emulator


def start(
    emulator: Emulator, database_url: str, *arguments: str, api_key: str | None = None
) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "GCORE_API_KEY": api_key or emulator.api_key,
        "GCORE_BASE_URL": emulator.base_url,
        "GCORE_ETL_DATABASE_URL": database_url,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "etl", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(emulator: Emulator, database_url: str, *arguments: str, **options: str) -> tuple[int, str, str]:
    process = start(emulator, database_url, *arguments, **options)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_sync_prints_json_object_and_stores_tasks(emulator, database_url):
    code, out, err = run(emulator, database_url, "sync", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["inserted"] == 200
    assert stored_states(database_url) == true_states(emulator.world)


def test_wrong_key_exits_3_without_printing_key(emulator, database_url):
    code, out, err = run(emulator, database_url, "sync", api_key="1234$wrong")
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert "GCORE_API_KEY" in err
    assert "wrong" not in err


def test_concurrent_sync_exits_75(emulator, database_url):
    run_sync(settings_for(emulator, database_url))
    with writing(database_url):
        code, _, err = run(emulator, database_url, "sync")
    assert (code, err.count("\n")) == (75, 1)


STOPPED = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}


@one_in(2, "databases, number", ["sqlite", "postgres"], STOPPED, indirect=["databases"])
def test_next_sync_completes_interrupted_sync(emulator, database_url, number):
    emulator.behaviour.latency = 0.2
    process = start(emulator, database_url, "sync", "--page-size", "20", "--concurrency", "1")
    while len(emulator.requests) < 4:
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate(timeout=10)
    assert process.returncode == STOPPED[number]
    emulator.behaviour.latency = 0
    assert run(emulator, database_url, "sync")[0] == 0
    assert stored_states(database_url) == true_states(emulator.world)
    statuses = query(database_url, "SELECT status FROM sync_runs ORDER BY run_id")
    assert statuses == [("interrupted",), ("succeeded",)]
