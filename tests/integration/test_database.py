"""Opening a database: accepted and refused URLs and files, and concurrent connections."""

from __future__ import annotations

import datetime as dt
import os
import re
import socket
import sqlite3
import subprocess
import sys
from urllib.parse import quote

import pytest
from sqlalchemy import event, insert, select, text
from sqlalchemy.exc import IntegrityError
from support.stored import NOON, store_task

from etl.database import database_errors, describe, ensure_schema, open_engine
from etl.errors import ConfigurationError, DatabaseError, NoTablesError
from etl.models import RESULTS, TASKS


def one_line(caught, exit_code):
    assert caught.value.exit_code == exit_code
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gcore_tasks.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory&uri=true",
        "sqlite:///tasks.db?timeout=3",
        "mysql://user:hunter2@host/db",
        "postgresql://user:hunter2@host:port/db",
        "postgresql://user:hunter@2@host/db",
    ],
)
def test_an_invalid_url_is_refused_and_not_repeated_in_the_error(url):
    with pytest.raises(ConfigurationError) as caught:
        open_engine(url)
    assert "hunter" not in one_line(caught, 3)
    assert caught.value.__cause__ is None  # what the parser said may hold the URL


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"])
def test_every_postgres_url_form_is_accepted_and_shown_without_secrets(scheme):
    engine = open_engine(f"{scheme}://me:hunter2@db.example:5433/tasks?sslmode=require&password=hunter2")
    assert engine.driver == "psycopg"
    assert describe(engine) == "postgresql://me@db.example:5433/tasks"


def test_missing_driver_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'gcore-ai-tasks-etl\[postgres\]'"):
        open_engine("postgresql://host/db")


def test_unreachable_server_error_hides_the_password():
    engine = open_engine("postgresql://me:hunter2@127.0.0.1:1/tasks")
    with pytest.raises(DatabaseError) as caught, database_errors(), engine.connect():
        pass
    assert "hunter2" not in one_line(caught, 4)
    assert "127.0.0.1" in str(caught.value)


NAMES = ("plain.db", "with space.db", "what?.db", "a#b.db", "ünïcode.db")


@pytest.mark.parametrize(
    "written, name",
    [*((name, name) for name in NAMES), *((quote(name), name) for name in ("100%.db", *NAMES))],
)
def test_a_file_may_have_any_name(tmp_path, written, name):
    engine = open_engine(f"sqlite:///{tmp_path}/{written}")
    with engine.begin() as connection:
        ensure_schema(connection)
    engine.dispose()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert describe(engine) == str(tmp_path / name)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DatabaseError, match=r"there is no folder .*nowhere") as caught:
        open_engine(f"sqlite:///{tmp_path}/nowhere/tasks.db")
    one_line(caught, 4)


def test_reading_does_not_create_a_file(tmp_path):
    with pytest.raises(NoTablesError, match="run gcore-etl sync first") as caught:
        open_engine(f"sqlite:///{tmp_path}/tasks.db", read_only=True)
    one_line(caught, 4)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("read_only", [True, False])
def test_non_database_file_is_left_unchanged(tmp_path, read_only):
    path = tmp_path / "notes.txt"
    path.write_bytes(b"not a database at all. " * 100)
    before = path.read_bytes()
    engine = open_engine(f"sqlite:///{path}", read_only=read_only)
    with pytest.raises(DatabaseError, match="is not an SQLite database") as caught, engine.connect():
        pass
    one_line(caught, 4)
    assert path.read_bytes() == before


def test_folder_is_refused_as_database(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path}")
    with pytest.raises(DatabaseError, match="cannot be opened") as caught, engine.connect():
        pass
    one_line(caught, 4)


def test_new_file_uses_wal_and_existing_file_keeps_its_mode(tmp_path):
    """A user may have switched WAL off, for instance for a network disk."""
    modes = {}
    for name in ("new", "old"):
        if name == "old":
            with sqlite3.connect(tmp_path / "old") as made:
                made.execute("CREATE TABLE mine (x)")
            made.close()
        engine = open_engine(f"sqlite:///{tmp_path / name}")
        with engine.connect() as connection:
            modes[name] = (
                connection.scalar(text("PRAGMA journal_mode")),
                connection.scalar(text("PRAGMA synchronous")),
            )
        engine.dispose()
    assert modes == {"new": ("wal", 1), "old": ("delete", 2)}


def test_second_writer_is_refused_with_an_explanation(sqlite_databases):
    with sqlite_databases.migrated() as url:
        first, second = open_engine(url), open_engine(url)
        event.listen(second, "connect", lambda made, _: made.execute("PRAGMA busy_timeout = 0"))
        with first.begin(), second.connect() as connection:
            with pytest.raises(DatabaseError, match="locked by another program") as caught, database_errors():
                connection.begin()
            one_line(caught, 4)
        first.dispose()
        second.dispose()


def test_reader_neither_waits_nor_sees_uncommitted_rows(migrated_url):
    writer, reader = open_engine(migrated_url), open_engine(migrated_url, read_only=True)
    with writer.connect() as writing, reader.connect() as reading:
        store_task(writing, "early")
        assert reading.scalars(select(TASKS.c.task_id)).all() == []
        writing.commit()
        assert reading.scalars(select(TASKS.c.task_id)).all() == []  # still the same transaction
        reading.rollback()
        assert reading.scalars(select(TASKS.c.task_id)).all() == ["early"]
        store_task(writing, "late")  # nor does the reader hold up the writer
        writing.commit()
    writer.dispose()
    reader.dispose()


def test_a_reader_can_open_the_files_of_a_killed_writer(migrated_url):
    """On SQLite the committed rows are still in the log, which a reader may not merge into the file."""
    program = (
        "import os, signal, sys; from etl.database import open_engine\n"
        "engine = open_engine(sys.argv[1])\n"
        "connection = engine.connect()\n"
        "connection.exec_driver_sql(\"UPDATE sync_state SET date_filter = 'gte'\")\n"
        "connection.commit()\n"
        "connection.exec_driver_sql(\"UPDATE sync_state SET date_filter = 'half done'\")\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", program, migrated_url], check=False).returncode == -9
    engine = open_engine(migrated_url, read_only=True)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT date_filter FROM sync_state")) == "gte"
    engine.dispose()


def test_a_reader_cannot_write(migrated_url):
    engine = open_engine(migrated_url, read_only=True)
    with pytest.raises(DatabaseError) as caught, database_errors(), engine.begin() as connection:
        store_task(connection)
    one_line(caught, 4)
    engine.dispose()


def test_engine_can_read_outside_its_open_write_transaction(engine):
    aside = engine.execution_options(sqlite_begin="DEFERRED")
    with engine.begin() as writing, aside.connect() as reading:
        store_task(writing)
        assert reading.scalars(select(TASKS.c.task_id)).all() == []


def test_integrity_error_is_not_translated(engine):
    with engine.connect() as connection:
        store_task(connection, "twice")
        with pytest.raises(IntegrityError), database_errors():
            store_task(connection, "twice")


def test_full_disk_is_reported_in_one_line(sqlite_databases):
    with sqlite_databases.migrated() as url:
        engine = open_engine(url)
        with engine.connect() as connection:
            pages = connection.scalar(text("PRAGMA page_count"))
            connection.execute(text(f"PRAGMA max_page_count = {pages}"))
            with pytest.raises(DatabaseError, match="disk is full") as caught, database_errors():
                store_task(connection, url="x" * 1_000_000)
        one_line(caught, 4)
        engine.dispose()


def test_session_uses_utc_and_sets_application_name(postgres_databases):
    with postgres_databases.empty() as url:
        engine = open_engine(url)
        with engine.connect() as connection:
            assert connection.scalar(text("SHOW time zone")) == "UTC"
            name = f"gcore-etl {os.getpid()}@{socket.gethostname()}"
            since = r" \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
            shown = connection.scalar(text("SHOW application_name"))
            assert re.fullmatch(re.escape(name) + since, shown)
        engine.dispose()


def test_values_are_read_as_they_were_written(engine):
    """A bare number is a JSON document too, which a column with numeric affinity would change."""
    zone = dt.timezone(dt.timedelta(hours=5, minutes=30))
    started = dt.datetime(2026, 6, 26, 1, 2, 3, 4, zone)
    columns = {
        "task_data": {"ключ": [1, None, "💬"]},
        "started_at": started,
        "client_id": 2**40,
        "payload_hash": b"\0\1",
    }
    documents = [12, "12", 1.5, True, [], {}, "null", None]
    with engine.begin() as connection:
        store_task(connection, **columns)
        (row,) = connection.execute(select(TASKS)).mappings()
        for number, document in enumerate(documents):
            row_of_result = {"task_id": f"t{number}", "state": "archived", "result": document}
            connection.execute(insert(RESULTS).values(row_of_result))
        stored = connection.scalars(select(RESULTS.c.result).order_by(RESULTS.c.task_id)).all()
        nulls = connection.scalar(text("SELECT count(*) FROM task_results WHERE result IS NULL"))

    assert {name: row[name] for name in columns} == columns
    assert (row["started_at"].tzinfo, row["changed_at"], row["extra"]) == (dt.UTC, NOON, None)
    assert [repr(each) for each in stored] == [repr(each) for each in documents]
    assert nulls == 1
