"""The migration scripts: their order, their imports, and that they match the models."""

from __future__ import annotations

import ast
import re

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from support.stored import table_names

from etl import database
from etl.database import revisions
from etl.models import METADATA, metadata_with_conditions

SCRIPTS = sorted((revisions.migrations_dir() / "versions").glob("*.py"))


@pytest.fixture
def directory():
    config = Config()
    config.set_main_option("script_location", str(revisions.migrations_dir()))
    return ScriptDirectory.from_config(config)


def test_single_head_matches_file_names(directory):
    """`ensure_schema` relies on the names, to avoid importing Alembic."""
    assert directory.get_heads() == [database.head_revision()]


def test_revisions_are_linear_without_gaps(directory):
    line = [script.revision for script in directory.walk_revisions()][::-1]
    assert line == revisions.known_revisions() == [f"{number:04}" for number in range(1, len(SCRIPTS) + 1)]


def test_revision_numbers_are_unique_and_match_file_names():
    numbers = [re.match(r"\d{4}(?=_[a-z0-9_]+\.py$)", script.name) for script in SCRIPTS]
    assert all(numbers)
    assert len({number[0] for number in numbers}) == len(SCRIPTS)
    for script, number in zip(SCRIPTS, numbers, strict=True):
        assert f'revision = "{number[0]}"' in script.read_text()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_scripts_import_nothing_from_etl(script):
    """Models and views change; released migrations must not."""
    imported = set()
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.Import):
            imported |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported <= {"sqlalchemy", "alembic"}


def shape(connection):
    """Return a description of every table: columns, keys, constraints and indexes."""
    inspector = inspect(connection)
    found = {}
    for name in table_names(connection):
        if name != "alembic_version":
            found[name] = {
                # A migration adds a column behind all others, wherever the model has it.
                "columns": sorted(
                    (column["name"], repr(column["type"]), column["nullable"], column["default"])
                    for column in inspector.get_columns(name)
                ),
                "primary key": inspector.get_pk_constraint(name),
                "unique": inspector.get_unique_constraints(name),
                "checks": inspector.get_check_constraints(name),
                "foreign keys": inspector.get_foreign_keys(name),
                "indexes": sorted(
                    (index["name"], index["column_names"], index["unique"], conditions(index))
                    for index in inspector.get_indexes(name)
                ),
            }
    return found


def conditions(index):
    return [f"{option}: {value}" for option, value in index["dialect_options"].items()]


def test_migrations_create_the_schema_of_the_models(engine, database_url):
    """Stricter than `alembic check`, which ignores check constraints and conditions of indexes."""
    modelled = database.open_engine(database_url)
    with modelled.begin() as connection:
        metadata_with_conditions().create_all(connection)
        expected = shape(connection)
    modelled.dispose()
    with engine.connect() as connection:
        assert shape(connection) == expected, "add a migration: docs/architecture.md shows how"


def test_alembic_finds_no_drift(engine):
    with engine.connect() as connection:
        assert database.check(connection) == []


def test_check_works_in_read_only_session(migrated_url):
    engine = database.open_engine(migrated_url, read_only=True)
    with engine.connect() as connection:
        assert database.check(connection) == []
    engine.dispose()


@pytest.mark.parametrize(
    "damage, complaint",
    [
        ("ALTER TABLE sync_state DROP COLUMN surplus", "add_column: sync_state"),
        ("DROP TABLE detections", "add_table: detections"),
        ("DROP INDEX ix_tasks_in_flight", "add_index: "),
        ("DROP VIEW freshness", "the view freshness is missing"),
    ],
)
def test_check_reports_differences(engine, damage, complaint):
    with engine.begin() as connection:
        connection.execute(text(damage))
        (difference,) = database.check(connection)
    assert difference.startswith(complaint)


def test_check_ignores_user_additions(engine):
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE my_notes (task_id TEXT, note TEXT)"))
        connection.execute(text("CREATE INDEX my_index ON tasks (client_user_id)"))
        connection.execute(text("ALTER TABLE tasks ADD COLUMN mine TEXT"))
        connection.execute(text("ALTER TABLE sync_runs ADD COLUMN note TEXT DEFAULT 'none' NOT NULL"))
        if engine.dialect.name == "postgresql":
            connection.execute(text("ALTER TABLE tasks ADD COLUMN number INT GENERATED ALWAYS AS IDENTITY"))
            connection.execute(text("COMMENT ON COLUMN tasks.status IS 'mine'"))
            connection.execute(text("COMMENT ON TABLE tasks IS 'mine'"))
        assert database.check(connection) == []


def test_check_reports_not_null_column_without_default(postgres_databases):
    with postgres_databases.migrated() as url:
        engine = database.open_engine(url)
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE tasks ADD COLUMN team TEXT NOT NULL"))
            (difference,) = database.check(connection)
        engine.dispose()
    assert difference == "remove_column: tasks, tasks.team"


def test_list_of_our_tables_matches_models():
    assert sorted(METADATA.tables) == list(revisions.TABLES)
