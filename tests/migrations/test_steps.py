"""Each migration, up and down and up again, over tables that hold rows."""

from __future__ import annotations

import pytest
from sqlalchemy import MetaData, Table, func, inspect, select
from support.stored import table_names

from etl import database, views
from etl.database import revisions

REVISIONS = revisions.known_revisions()
# All text columns get this text, which is also a valid time.
SAMPLES = {str: "2026-06-26 16:26:29.250000", int: 7, float: 0.5, bytes: b"16 bytes of hash", bool: True}


@pytest.fixture
def connection(database_url):
    engine = database.open_engine(database_url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def tables(connection):
    metadata = MetaData()
    names = [name for name in table_names(connection) if name != "alembic_version"]
    return [Table(name, metadata, autoload_with=connection) for name in names]


def counts(connection):
    return {
        each.name: connection.scalar(select(func.count()).select_from(each)) for each in tables(connection)
    }


def fill(connection):
    """Insert a row with every column set into each empty table."""
    for table in tables(connection):
        if not connection.scalar(select(func.count()).select_from(table)):
            connection.execute(table.insert().values({each.name: sample(each) for each in table.columns}))


def sample(column):
    try:
        kind = column.type.python_type
    except NotImplementedError:  # JSONB
        return {"a": 1}
    return SAMPLES.get(kind, SAMPLES[str])


@pytest.mark.parametrize("revision", REVISIONS)
def test_each_migration_round_trips_and_keeps_existing_rows(connection, revision):
    place = REVISIONS.index(revision)
    below = REVISIONS[place - 1] if place else "base"
    if place:
        database.upgrade(connection, below)
        fill(connection)
    before = counts(connection)

    database.upgrade(connection, revision)
    fill(connection)
    assert all(counts(connection).values())
    database.downgrade(connection, below)
    assert counts(connection) == before
    database.upgrade(connection, revision)

    assert {name: count for name, count in counts(connection).items() if name in before} == before
    assert database.current_revision(connection) == revision


def test_all_migrations_round_trip_with_filled_tables(connection):
    for _ in range(2):
        database.upgrade(connection)
        fill(connection)
        assert set(counts(connection)) == set(revisions.TABLES)
        assert all(counts(connection).values())
        assert set(inspect(connection).get_view_names()) == set(views.NAMES)

        database.downgrade(connection, "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
        assert inspect(connection).get_view_names() == []


def test_sync_state_is_created_with_its_single_row(engine):
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT state_id, watermark FROM sync_state").all() == [(1, None)]


def test_upgrade_at_head_recreates_views(engine):
    """Every upgrade recreates them, so a changed view needs no migration."""
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP VIEW freshness")
        connection.exec_driver_sql("CREATE VIEW freshness AS SELECT 1 AS outdated")
        database.upgrade(connection)
        assert "watermark" in {column["name"] for column in inspect(connection).get_columns("freshness")}
