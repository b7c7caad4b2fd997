"""A first load builds the indexes at its end; after an interruption, the next run does."""

from __future__ import annotations

import datetime as dt

import pytest
import sqlalchemy as sa
from support.worlds import a_world, query, settings_for, stored_states, true_states

from etl.database import check, reading
from etl.emulator import Behaviour, Fault, serve
from etl.errors import EtlError, Interrupted
from etl.sync import batch
from etl.sync.api import run_sync
from etl.sync.doctor import examine
from etl.sync.options import SyncOptions

TASKS_ALONE = SyncOptions(with_results=False)


def differences(url: str) -> list[str]:
    with reading(url, any_schema=True) as connection:
        return check(connection)


def interrupt_after(monkeypatch, batches: int) -> None:
    """Interrupt the run after this number of batches."""
    flush = batch.BatchLoader.flush

    def counted(self) -> None:
        nonlocal batches
        flush(self)
        batches -= 1
        if batches == 0:
            raise Interrupted(15)

    monkeypatch.setattr(batch, "BATCH_ROWS", 50)
    monkeypatch.setattr(batch.BatchLoader, "flush", counted)


def test_every_index_exists_after_a_first_load(database_url):
    with serve(a_world()) as emulator:
        run_sync(settings_for(emulator, database_url), TASKS_ALONE)
    assert differences(database_url) == []


def test_a_first_load_that_is_interrupted_is_indexed_by_the_next_run(database_url, monkeypatch):
    world = a_world()
    with serve(world, Behaviour(page_cap=50)) as emulator:
        settings = settings_for(emulator, database_url)
        with monkeypatch.context() as patch:
            interrupt_after(patch, batches=2)
            with pytest.raises(Interrupted):
                run_sync(settings, TASKS_ALONE)
        assert query(database_url, "SELECT count(*) FROM tasks") > [(0,)]
        is_sqlite = database_url.startswith("sqlite")
        assert bool(differences(database_url)) == is_sqlite
        schema = {each.name: each for each in examine(settings, now=lambda: dt.datetime.now(dt.UTC))}[
            "schema"
        ]
        assert schema.is_good
        assert ("the next one builds the missing indexes" in schema.detail) == is_sqlite
        run_sync(settings, TASKS_ALONE)
        assert differences(database_url) == []
        assert stored_states(database_url) == true_states(world)


def test_a_failed_first_load_builds_its_indexes(database_url, monkeypatch):
    monkeypatch.setattr(batch, "BATCH_ROWS", 50)
    fault = Fault("500", times=1000, after=8, match="list")
    with serve(a_world(), Behaviour(page_cap=50, faults=[fault])) as emulator:
        settings = settings_for(emulator, database_url, retry_for=dt.timedelta(seconds=2))
        with pytest.raises(EtlError):
            run_sync(settings, TASKS_ALONE)
    assert query(database_url, "SELECT count(*) FROM tasks") > [(0,)]
    assert differences(database_url) == []


def test_later_loads_do_not_drop_the_indexes(sqlite_databases):
    statements = []
    with sqlite_databases.empty() as url, serve(a_world(arrivals_per_hour=60)) as emulator:
        run_sync(settings_for(emulator, url), TASKS_ALONE)
        emulator.world.advance(dt.timedelta(hours=1))
        sa.event.listen(sa.Engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
        assert run_sync(settings_for(emulator, url), TASKS_ALONE).inserted > 0
    assert not [each for each in statements if each.startswith(("DROP INDEX", "CREATE INDEX"))]
