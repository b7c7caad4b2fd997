"""`etl.frames`: sources, snapshots, and what a frame costs while it is read."""

from __future__ import annotations

import pathlib
import tracemalloc
from typing import TYPE_CHECKING

import pandas as pd
import pytest
import sqlalchemy as sa
from pandas.testing import assert_frame_equal
from support.frames import ALL, listening, read
from support.stored import NOON, store_task

from etl import frames
from etl.database import open_engine
from etl.errors import ConfigurationError, NoTablesError
from etl.models import TASKS
from etl.sync.api import writing

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_frames_from_one_connection_are_one_snapshot(migrated_url, engine):
    reader = open_engine(migrated_url, read_only=True)
    with reader.connect() as connection:
        before = frames.tasks(connection)
        with engine.begin() as other:
            store_task(other, "came later")
        assert_frame_equal(frames.tasks(connection), before)
        assert list(frames.view("task_timeline", connection)["task_id"]) == []
        parts = pd.concat(frames.tasks(connection, chunksize=1))
        assert_frame_equal(parts, before)
        assert not connection.closed
        connection.rollback()
        assert list(frames.tasks(connection)["task_id"]) == ["came later"]
    reader.dispose()


def test_memory_holds_only_one_chunk(engine):
    row = {"first_seen_at": NOON, "changed_at": NOON, "url": "x" * 20_000}
    with engine.begin() as connection:
        connection.execute(sa.insert(TASKS), [{"task_id": f"{number:05}", **row} for number in range(2000)])
    sizes = []
    tracemalloc.start()
    for chunk in frames.tasks(engine, chunksize=50):
        sizes.append(len(chunk))
        if len(sizes) == 2 and engine.dialect.name == "postgresql":
            # tracemalloc does not count memory of libpq: the server must not have sent more than this chunk.
            mine = "datname = current_database() AND state = 'idle in transaction'"
            with engine.connect() as connection:
                last = connection.scalars(sa.text(f"SELECT query FROM pg_stat_activity WHERE {mine}")).one()
            assert last.startswith("FETCH FORWARD 50 ")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sizes == [50] * 40
    assert peak < 10_000_000


def test_without_a_source_the_database_setting_is_used(engine, migrated_url, monkeypatch):
    with engine.begin() as connection:
        store_task(connection, "here")
    monkeypatch.setenv("GCORE_ETL_DATABASE_URL", migrated_url)
    assert list(frames.tasks()["task_id"]) == list(frames.view("task_timeline")["task_id"]) == ["here"]


@pytest.fixture(params=["URL", "engine", "plain engine"])
def source(request, migrated_url) -> Iterator[str | sa.Engine]:
    """Yield the same database as a URL, as our engine and as a plain engine."""
    if request.param == "URL":
        yield migrated_url
        return
    plain_url = migrated_url.replace("postgresql:", "postgresql+psycopg:")
    engine = open_engine(migrated_url) if request.param == "engine" else sa.create_engine(plain_url)
    yield engine
    engine.dispose()


def test_reading_does_not_block_a_sync_or_wait_for_one(source, migrated_url):
    with writing(migrated_url) as connection:
        for task_id in ("1", "2"):
            store_task(connection, task_id)
        connection.commit()
        store_task(connection, "3")
        chunks = frames.tasks(source, chunksize=1)
        found = [next(chunks)]
        connection.commit()
        found += chunks
        assert list(pd.concat(found)["task_id"]) == ["1", "2"]
    assert len(frames.tasks(source)) == 3


def test_a_frame_excludes_rows_committed_while_it_is_read(source, migrated_url):
    engine = open_engine(migrated_url)
    ids = iter(["new"])

    def commit(statement: str) -> None:
        if statement.startswith("SELECT DISTINCT"):
            for task_id in ids:
                with engine.begin() as connection:
                    store_task(connection, task_id, status="PAUSED")

    with listening(sa.Engine, "after_cursor_execute", commit):
        assert len(frames.tasks(source)) == 0
    engine.dispose()
    assert list(frames.tasks(source)["status"]) == ["PAUSED"]


def test_an_abandoned_iterator_releases_its_connection(engine):
    for task_id in ("1", "2", "3"):
        with engine.begin() as connection:
            store_task(connection, task_id)
        chunks = frames.tasks(engine, chunksize=1)
        next(chunks)
        assert engine.pool.checkedout() == 1
        chunks.close()
        assert engine.pool.checkedout() == 0


def test_frames_only_send_statements_that_read(engine):
    sent: list[str] = []
    with listening(engine, "before_cursor_execute", sent.append):
        for name in ALL:
            read(name, engine)
    assert {statement.split()[0] for statement in sent} <= {"SELECT", "PRAGMA", "BEGIN"}


def test_an_unreadable_source_raises_a_helpful_error(database_url):
    engine = open_engine(database_url)
    for empty in (database_url, engine):
        with pytest.raises(NoTablesError, match="gcore-etl"):
            next(frames.tasks(empty, chunksize=5))
    engine.dispose()
    with pytest.raises(ConfigurationError, match="the database URL is malformed") as error:
        frames.tasks("user:secret@host")
    assert "secret" not in str(error.value)
    with pytest.raises(TypeError, match="neither a database URL nor a SQLAlchemy engine"):
        frames.tasks(pathlib.Path("gcore_tasks.db"))
