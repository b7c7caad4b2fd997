"""Errors of SQLite become one line with a cause and a remedy."""

from __future__ import annotations

import sqlite3

import pytest

from etl.database.sqlite_errors import advise

WORDS = {
    "SQLITE_BUSY": "wait for it",
    "SQLITE_BUSY_SNAPSHOT": "wait for it",
    "SQLITE_FULL": "disk is full: make room",
    "SQLITE_IOERR_WRITE": "its quota",
    "SQLITE_IOERR_GETTEMPPATH": "set TMPDIR",
    "SQLITE_IOERR_SHMMAP": "local disk",
    "SQLITE_IOERR_SHMOPEN": "local disk",
    "SQLITE_IOERR_SHMLOCK": "local disk",
    "SQLITE_IOERR_SHMSIZE": "make room",
    "SQLITE_PROTOCOL": "local disk",
    "SQLITE_NOLFS": "another",
    "SQLITE_NOTADB": "name another file",
    "SQLITE_CORRUPT": "restore a copy",
    "SQLITE_CORRUPT_INDEX": "restore a copy",
    "SQLITE_READONLY_DBMOVED": "run again",
    "SQLITE_READONLY_CANTINIT": "check the permissions",
    "SQLITE_CANTOPEN_FULLPATH": "check that it is a file",
}


def error_of(name, message=""):
    error = sqlite3.OperationalError(message)
    error.sqlite_errorcode = getattr(sqlite3, name)
    return error


@pytest.mark.parametrize("name", WORDS)
def test_each_error_code_has_a_remedy(tmp_path, name):
    for path in (None, tmp_path / "tasks.db"):
        assert WORDS[name] in advise(error_of(name), path)


@pytest.mark.parametrize(
    "name, message",
    [
        ("SQLITE_ERROR", 'near "SELEC": syntax error'),
        ("SQLITE_CONSTRAINT_UNIQUE", "UNIQUE constraint failed: tasks.task_id"),
        ("SQLITE_MISUSE", "bad parameter"),
    ],
)
def test_programming_errors_get_no_advice(name, message):
    assert advise(error_of(name, message)) is None


@pytest.mark.parametrize(
    "message",
    ["no such table: tasks", "no such column: status", "table tasks has no column named status"],
)
def test_missing_table_or_column_is_reported_as_altered_schema(message):
    assert f"has been altered ({message})" in advise(error_of("SQLITE_ERROR", message))
