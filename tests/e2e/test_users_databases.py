"""Databases of other programs are refused, and views that users created are kept."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from support.commands import error_of
from support.conditions import execute
from support.worlds import query, stored_states, true_states

from etl.database import reading

FOREIGN = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32))",
    "INSERT INTO alembic_version VALUES ('{revision}')",
    "CREATE TABLE tasks (id INTEGER)",
    "INSERT INTO tasks VALUES (1)",
)


@pytest.mark.parametrize("revision", ["0001", "0008", "0009", "ae1027a6acf"])
def test_database_of_another_program_is_refused(command, revision):
    for statement in FOREIGN:
        execute(command.database_url, statement.format(revision=revision))
    for words in (
        *("status", "runs", "sync", "sync --dry-run", "sync --no-migrate", "search guten", "export tasks"),
        *("report -o -", "rejected list", "rejected retry"),
        *("db current", "db check", "db upgrade", "db downgrade base --yes"),
    ):
        line = error_of(command(*words.split()), 4)
        assert "belongs to another program" in line, words
    ended = command("doctor")
    assert ended.code == 4
    assert "belongs to another program" in ended.out
    assert query_raw(command.database_url, "SELECT * FROM tasks") == [(1,)]
    assert query_raw(command.database_url, "SELECT * FROM alembic_version") == [(revision,)]


def query_raw(url, statement):
    """Query a database that this program did not create."""
    with reading(url, any_schema=True) as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def test_user_view_survives_downgrade_and_upgrade(command, emulator):
    command("sync")
    execute(command.database_url, "CREATE VIEW mine AS SELECT status, count(*) FROM tasks GROUP BY 1")
    assert command("db", "downgrade", "0003", "--yes").code == 0
    assert command("sync").code == 0
    assert stored_states(command.database_url) == true_states(emulator.world)
    assert query(command.database_url, "SELECT count(*) > 0 FROM mine") == [(1,)]


def test_user_view_blocking_upgrade_is_named(command):
    """The view selects a column that a view of an older release had."""
    command("sync")
    if command.database_url.startswith("sqlite"):
        execute(command.database_url, "DROP VIEW retries")
        execute(command.database_url, "CREATE VIEW retries AS SELECT status AS state FROM tasks")
    else:
        execute(command.database_url, "ALTER VIEW retries RENAME COLUMN status TO state")
    execute(command.database_url, "CREATE VIEW mine AS SELECT state FROM retries")
    line = error_of(command("db", "upgrade"), 4)
    assert "the view mine" in line
    assert "run gcore-etl db upgrade" in line
    execute(command.database_url, "DROP VIEW mine")
    assert command("db", "upgrade").code == 0
    assert command("db", "check").code == 0
    execute(command.database_url, "CREATE VIEW mine AS SELECT status FROM retries")
    assert command("sync").code == 0


def test_user_view_blocking_downgrade_is_named(command):
    command("sync")
    execute(command.database_url, "CREATE VIEW mine AS SELECT * FROM task_daily")
    line = error_of(command("db", "downgrade", "0003", "--yes"), 4)
    assert "the view mine" in line
    assert "run gcore-etl db downgrade" in line
    assert command("db", "check").code == 0
    assert command("sync").code == 0
