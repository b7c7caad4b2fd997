"""Databases of other programs are refused by readers and writers, and left unchanged."""

from __future__ import annotations

import pytest
from sqlalchemy import inspect, text

from etl import database, views
from etl.database import revisions
from etl.errors import ForeignTablesError, SchemaTooNewError

REVISIONS = revisions.known_revisions()
OURS = (*revisions.TABLES, "transcript_words")
VERSIONS = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"
OPERATIONS = {
    "sync": database.ensure_schema,
    "read": lambda connection: database.ensure_schema(connection, migrate=False),
    "upgrade": database.upgrade,
    "upgrade a step": lambda connection: database.upgrade(connection, "0001"),
    "downgrade": lambda connection: database.downgrade(connection, "base"),
    "current": database.current_revision,
}


def at(revision):
    return (VERSIONS, f"INSERT INTO alembic_version VALUES ('{revision}')")


FOREIGN = {
    "a revision and a table of ours": (*at("0001"), "CREATE TABLE tasks (id INTEGER)"),
    "our first revision": at("0001"),
    "our newest revision": at(REVISIONS[-1]),
    "our newest revision and their tables": (
        *at(REVISIONS[-1]),
        *(f"CREATE TABLE {name} (id INTEGER)" for name in OURS),
    ),
    "a revision in between and their tables": (*at("0008"), "CREATE TABLE tasks (id INTEGER)"),
    "tables with columns of ours": (
        *at("0001"),
        "CREATE TABLE tasks (task_id TEXT, status TEXT, progress INTEGER)",
        "CREATE TABLE task_history (history_id INTEGER, task_id TEXT)",
    ),
    "a view with the name of a table of ours": (*at("0001"), "CREATE VIEW tasks AS SELECT 1 AS task_id"),
    "another revision": at("ae1027a6acf"),
    "another revision and a table of ours": (*at("ae1027a6acf"), "CREATE TABLE sync_state (id INTEGER)"),
    "several revisions": (*at("0001"), "INSERT INTO alembic_version VALUES ('0002')"),
    "no revision and their tables": (VERSIONS, "CREATE TABLE users (id INTEGER)"),
    "no revision and a table of ours": (VERSIONS, "CREATE TABLE tasks (id INTEGER)"),
    "a revision that is a number": (
        "CREATE TABLE alembic_version (version_num INTEGER)",
        "INSERT INTO alembic_version VALUES (9)",
    ),
    "a revision that is null": (
        "CREATE TABLE alembic_version (version_num VARCHAR(32))",
        "INSERT INTO alembic_version VALUES (NULL)",
    ),
    "a table of revisions of another kind": (
        "CREATE TABLE alembic_version (revision VARCHAR(32))",
        "INSERT INTO alembic_version VALUES ('0001')",
    ),
    "a view of revisions": ("CREATE VIEW alembic_version AS SELECT '0001' AS version_num",),
    "only a table of ours": ("CREATE TABLE task_results (id INTEGER)",),
    "only a view of ours": ("CREATE VIEW failures AS SELECT 1 AS one",),
    "only the words": ("CREATE TABLE transcript_words (word TEXT)",),
}


@pytest.fixture
def engine(database_url):
    engine = database.open_engine(database_url)
    yield engine
    engine.dispose()


def execute(engine, statements):
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def content(engine):
    with engine.connect() as connection:
        inspector = inspect(connection)
        names = sorted([*inspector.get_table_names(), *inspector.get_view_names()])
        return {
            name: [tuple(row) for row in connection.execute(text(f"SELECT * FROM {name}"))] for name in names
        }


def refused(engine, words="belongs to another program"):
    """Assert a one-line error with exit code 4, and an unchanged database, for every operation."""
    for operation in OPERATIONS.values():
        before = content(engine)
        with pytest.raises(ForeignTablesError, match=words) as caught, engine.begin() as connection:
            operation(connection)
        assert content(engine) == before
        assert caught.value.exit_code == 4
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("situation", FOREIGN)
def test_foreign_database_is_rejected(engine, situation):
    execute(engine, FOREIGN[situation])
    refused(engine)


@pytest.mark.parametrize("name", ["Tasks", "TASK_DAILY", "Alembic_Version"])
def test_table_names_are_case_insensitive_on_sqlite(sqlite_databases, name):
    with sqlite_databases.empty() as url:
        engine = database.open_engine(url)
        execute(engine, [f"CREATE TABLE {name} (id INTEGER)"])
        refused(engine)
        engine.dispose()


@pytest.mark.parametrize("missing", OURS)
def test_database_with_missing_table_is_rejected(migrated_url, missing):
    """It is no longer a complete copy."""
    engine = database.open_engine(migrated_url)
    execute(engine, [f"DROP VIEW {name}" for name in reversed(views.NAMES)] + [f"DROP TABLE {missing}"])
    refused(engine, missing)
    engine.dispose()


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_known_revision_is_recognized(engine, revision):
    with engine.begin() as connection:
        database.upgrade(connection, revision)
        assert database.current_revision(connection) == revision


def test_newer_schema_with_changed_tables_is_recognized(engine):
    with engine.begin() as connection:
        database.upgrade(connection)
        for name in reversed(views.NAMES):
            connection.execute(text(f"DROP VIEW {name}"))
        connection.execute(text("DROP TABLE detections"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0042'"))
    with engine.begin() as connection:
        assert database.current_revision(connection) == "0042"
        with pytest.raises(SchemaTooNewError, match="0042"):
            database.ensure_schema(connection)


def test_database_with_only_alembic_version_counts_as_empty(engine):
    """An older release left this table after a downgrade to base."""
    execute(engine, [VERSIONS])
    with engine.begin() as connection:
        assert database.current_revision(connection) is None
        database.ensure_schema(connection)
        assert database.check(connection) == []


def test_schema_can_be_recreated_after_downgrade_to_base(engine):
    execute(engine, ["CREATE TABLE notes (note TEXT)"])
    for _ in range(2):
        with engine.begin() as connection:
            database.ensure_schema(connection)
        with engine.begin() as connection:
            database.downgrade(connection, "base")
            assert database.current_revision(connection) is None
    assert content(engine) == {"notes": []}
