"""Which databases are upgraded, which are refused, and which are left unchanged."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import event, inspect, text
from support.stored import table_names

from etl import database, views
from etl.database import revisions
from etl.errors import (
    DatabaseError,
    ForeignTablesError,
    NoTablesError,
    SchemaOutdatedError,
    SchemaTooNewError,
)
from etl.sync.api import writing


@pytest.fixture
def empty(database_url):
    engine = database.open_engine(database_url)
    yield engine
    engine.dispose()


def names(engine):
    with engine.connect() as connection:
        inspector = inspect(connection)
        return {*table_names(connection), *inspector.get_view_names()}


def refused(engine, error, **options):
    """Assert a one-line error with exit code 4, and an unchanged database."""
    before = names(engine)
    with pytest.raises(error) as caught, engine.begin() as connection:
        database.ensure_schema(connection, **options)
    assert names(engine) == before
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_empty_database_gets_all_tables_and_views(empty):
    with empty.begin() as connection:
        database.ensure_schema(connection)
    assert names(empty) == {"alembic_version", *revisions.TABLES, *views.NAMES}


def test_empty_database_is_rejected_without_migrate(empty):
    message = refused(empty, NoTablesError, migrate=False)
    assert "gcore-etl sync" in message


@pytest.mark.parametrize("revision", revisions.known_revisions()[:-1])
def test_older_schema_is_upgraded(empty, revision):
    with empty.begin() as connection:
        database.upgrade(connection, revision)
    with empty.begin() as connection:
        database.ensure_schema(connection)
        assert database.check(connection) == []


def test_older_schema_is_rejected_without_migrate(empty):
    with empty.begin() as connection:
        database.upgrade(connection, "0001")
    message = refused(empty, SchemaOutdatedError, migrate=False)
    assert "0001" in message
    assert "gcore-etl db upgrade" in message


def test_newer_schema_is_rejected(engine):
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    message = refused(engine, SchemaTooNewError)
    assert "9999" in message
    for migrate in (database.upgrade, lambda connection: database.downgrade(connection, "base")):
        with pytest.raises(SchemaTooNewError), engine.begin() as connection:
            migrate(connection)


@pytest.mark.parametrize(
    "statement", ["CREATE TABLE tasks (id INTEGER)", "CREATE VIEW failures AS SELECT 1 AS one"]
)
def test_foreign_objects_with_our_names_are_rejected(empty, statement):
    with empty.begin() as connection:
        connection.execute(text(statement))
    refused(empty, ForeignTablesError)
    with pytest.raises(ForeignTablesError), empty.begin() as connection:
        database.upgrade(connection)


def test_foreign_alembic_version_is_rejected(empty):
    """Both programs use a table with this name, so ours would overwrite it."""
    with empty.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('ae1027a6acf')"))
    refused(empty, ForeignTablesError)


def test_unrelated_tables_are_allowed(empty):
    with empty.begin() as connection:
        connection.execute(text("CREATE TABLE my_notes (task_id TEXT)"))
        database.ensure_schema(connection)
    assert "my_notes" in names(empty)


def test_unknown_target_is_a_one_line_error(engine):
    with (
        pytest.raises(DatabaseError, match="cannot go to schema 0815") as caught,
        engine.begin() as connection,
    ):
        database.upgrade(connection, "0815")
    assert "\n" not in str(caught.value)
    assert set(views.NAMES) <= names(engine)


def test_database_at_head_is_not_written_to(engine):
    """A sync over an unchanged source must not write."""
    with engine.begin() as connection:
        database.ensure_schema(connection)
        if engine.dialect.name == "postgresql":
            assert connection.scalar(text("SELECT pg_current_xact_id_if_assigned()")) is None
            return
    path = Path(engine.url.database)
    before = hashlib.sha256(path.read_bytes()).digest()
    with engine.begin() as connection:
        database.ensure_schema(connection)
    assert hashlib.sha256(path.read_bytes()).digest() == before
    assert not path.with_name(f"{path.name}-wal").stat().st_size


def test_alembic_is_not_imported_at_head(migrated_url):
    """Importing it would slow down every command."""
    program = (
        "import sys; from etl import database; engine = database.open_engine(sys.argv[1])\n"
        "with engine.begin() as connection: database.ensure_schema(connection)\n"
        "engine.dispose(); sys.exit('alembic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, migrated_url], check=True)


def test_failed_upgrade_is_rolled_back(empty):
    """All or nothing, on both databases: DDL is part of the transaction."""
    done = 0
    last = None
    with empty.begin() as connection:  # the first transaction of a session executes extra statements
        connection.execute(text("SELECT 1"))

    @event.listens_for(empty, "before_cursor_execute")
    def fail(*_args):
        nonlocal done
        done += 1
        if done == last:
            raise RuntimeError("cut short")

    with empty.connect() as connection:
        database.ensure_schema(connection)
        connection.rollback()
    whole = done
    assert whole > len(revisions.TABLES) + len(views.NAMES)
    for cut in range(1, whole + 1, 3):
        done, last = 0, cut
        with pytest.raises(RuntimeError, match="cut short"), empty.begin() as connection:
            database.ensure_schema(connection)
        last = None
        assert names(empty) == set()
    with empty.begin() as connection:
        database.ensure_schema(connection)


@pytest.mark.parametrize("statements", [9, 30])
def test_killed_upgrade_is_rolled_back(database_url, statements):
    program = (
        "import os, signal, sys\n"
        "from sqlalchemy import event\n"
        "from etl import database\n"
        "engine, left = database.open_engine(sys.argv[1]), int(sys.argv[2])\n"
        "@event.listens_for(engine, 'after_cursor_execute')\n"
        "def count(*_):\n"
        "    global left\n"
        "    left -= 1\n"
        "    if not left: os.kill(os.getpid(), signal.SIGKILL)\n"
        "with engine.begin() as connection: database.ensure_schema(connection)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, database_url, str(statements)], check=False)
    assert killed.returncode == -9
    engine = database.open_engine(database_url)
    assert names(engine) == set()
    with engine.begin() as connection:
        database.ensure_schema(connection)
        assert database.check(connection) == []
    engine.dispose()


def test_plain_alembic_command_takes_the_writer_lock(migrated_url, monkeypatch):
    monkeypatch.setenv("GCORE_ETL_DATABASE_URL", migrated_url)
    with writing(migrated_url):
        ended = subprocess.run(
            [sys.executable, "-m", "alembic", "downgrade", "-1"],
            cwd=Path(__file__).parents[2],
            check=False,
            capture_output=True,
            text=True,
        )
    assert ended.returncode != 0
    assert "another sync is writing to this database" in ended.stderr


def test_plain_alembic_command_upgrades(database_url, monkeypatch):
    """In a checkout; it drops and recreates the views like our own command."""
    monkeypatch.setenv("GCORE_ETL_DATABASE_URL", database_url)
    root = revisions.migrations_dir().parent
    for arguments in (["upgrade", "0001"], ["upgrade", "head"], ["upgrade", "head"], ["check"]):
        subprocess.run(
            [sys.executable, "-m", "alembic", *arguments], cwd=root, check=True, capture_output=True
        )
    engine = database.open_engine(database_url)
    assert names(engine) == {"alembic_version", *revisions.TABLES, *views.NAMES}
    engine.dispose()
