"""P8 in query plans: no statement of an incremental sync scans a table that grows with the history."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Engine
from support.worlds import finished_world, settings_for

from etl.database import open_engine
from etl.emulator import Behaviour, serve
from etl.export.subtitle_files import export_subtitles
from etl.load.transcript_index import reindex_transcripts
from etl.sync.api import run_sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GROWING = {"tasks", "task_history", "task_results", "subtitles", "detections", "sync_runs"}
# They contain only tasks in flight and results that are due, not the history.
SMALL_INDEXES = {"ix_tasks_in_flight", "ix_tasks_result_due"}
_EXPLAINED = re.compile(r"\s*(?:SELECT|WITH|INSERT|UPDATE|DELETE)\b")

# Typical lookups of single tasks. A window over one task must not be computed for all of them.
LOOKUPS = [
    "SELECT * FROM in_flight",
    "SELECT * FROM task_timeline WHERE task_id = 'x'",
    "SELECT * FROM status_spans WHERE task_id = 'x'",
    "SELECT * FROM failures WHERE task_id = 'x'",
    "SELECT * FROM results_expiring WHERE task_id = 'x'",
]


@contextlib.contextmanager
def collecting_scans() -> Iterator[tuple[list[str], list[str]]]:
    """Explain every statement before it runs; yield the statements, and those that scan."""
    explained: list[str] = []
    scans: list[str] = []

    def explain(
        connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, *many: bool
    ) -> None:
        if not _EXPLAINED.match(statement):
            return
        explained.append(statement)
        if found := scanned(connection, statement, parameters[0] if any(many) else parameters):
            scans.append(f"{', '.join(sorted(found))}: {statement}")

    event.listen(Engine, "before_cursor_execute", explain)
    try:
        yield explained, scans
    finally:
        event.remove(Engine, "before_cursor_execute", explain)


def scanned(connection: sa.Connection, statement: str, parameters: Any = ()) -> set[str]:
    """Return the growing tables that a statement scans completely."""
    cursor = connection.connection.cursor()
    try:
        if connection.dialect.name == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            return {name for row in cursor.fetchall() for name in _scanned_by_sqlite(row[3])}
        # Use indexes wherever possible, although the planner prefers to scan small tables.
        for other in ("seqscan", "hashjoin", "mergejoin"):
            cursor.execute(f"SET LOCAL enable_{other} = off")
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters or None)
        plan = cursor.fetchone()[0]
        plan = json.loads(plan) if isinstance(plan, str) else plan
        return set(_scanned_by_postgres(plan[0]["Plan"]))
    finally:
        cursor.close()


def _scanned_by_sqlite(detail: str) -> Iterator[str]:
    match = re.match(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", detail)
    if match and match[1] in GROWING and match[2] not in SMALL_INDEXES:
        yield match[1]


def _scanned_by_postgres(node: dict[str, Any], *, reads_one: bool = False) -> Iterator[str]:
    kind, is_filtered = node["Node Type"], "Filter" in node
    # A scan of an index for its first entry reads one entry.
    is_bounded = "Index Cond" in node or (reads_one and not is_filtered)
    is_whole = kind == "Seq Scan" or (kind.startswith("Index") and not is_bounded)
    name = node.get("Relation Name")
    if name in GROWING and is_whole and node.get("Index Name") not in SMALL_INDEXES:
        yield name
    for child in node.get("Plans", []):
        yield from _scanned_by_postgres(child, reads_one=kind == "Limit")


@pytest.mark.parametrize("meaning", ["gte", "day", "ignored"])
def test_no_statement_of_an_incremental_sync_scans_a_growing_table(database_url, meaning):
    world = finished_world(300)
    with serve(world, Behaviour(date_created=meaning)) as emulator:
        settings = settings_for(emulator, database_url)
        run_sync(settings)
        for number in range(10):
            task_id = world.create(created_at=world.now)
            (world.start if number % 2 else world.finish)(task_id)
        for _ in range(2):
            with collecting_scans() as (explained, scans):
                run_sync(settings)
            assert len(explained) > 10
            assert scans == []


def reindex(connection: sa.Connection, _folder: Path) -> None:
    assert list(reindex_transcripts(connection))


def export_all(connection: sa.Connection, folder: Path) -> None:
    assert export_subtitles(folder, "vtt", source=connection) > 0


def export_some(connection: sa.Connection, folder: Path) -> None:
    since = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    more = {"since": since, "task_name": "transcription", "status": "SUCCESS"}
    assert export_subtitles(folder, "srt", source=connection, **more) > 0


@pytest.mark.parametrize("read", [reindex, export_all, export_some])
def test_reading_results_in_batches_sorts_none_of_them(database_url, read, tmp_path):
    """Each batch would sort all results again, which takes hours with a million of them."""
    with serve(finished_world(300)) as emulator:
        run_sync(settings_for(emulator, database_url))
    engine = open_engine(database_url)
    is_sqlite = engine.dialect.name == "sqlite"
    explain, sort = ("EXPLAIN QUERY PLAN", "TEMP B-TREE") if is_sqlite else ("EXPLAIN", "Sort")
    plans = []

    def keep_plan(connection, _cursor, statement, parameters, _context, _many):
        if re.match(r"\s*SELECT.*ORDER BY.*LIMIT", statement, re.DOTALL):
            cursor = connection.connection.cursor()
            cursor.execute(f"{explain} {statement}", parameters)
            plans.append((statement, str(cursor.fetchall())))
            cursor.close()

    with engine.connect() as connection:
        with connection.begin():
            connection.execute(sa.text("UPDATE sync_state SET words_version = 0"))
            if not is_sqlite:
                # Of so few rows, Postgres prefers to sort all.
                for other in ("seqscan", "bitmapscan", "hashjoin"):
                    connection.execute(sa.text(f"SET enable_{other} = off"))
        event.listen(engine, "before_cursor_execute", keep_plan)
        read(connection, tmp_path)
    engine.dispose()
    assert len(plans) >= 2
    assert [plan for plan in plans if sort in plan[1]] == []


@pytest.mark.parametrize("query", LOOKUPS)
def test_no_lookup_in_a_view_scans_a_growing_table(database_url, query):
    with serve(finished_world(50)) as emulator:
        run_sync(settings_for(emulator, database_url))
    engine = open_engine(database_url, read_only=True)
    try:
        with engine.connect() as connection:
            assert scanned(connection, query) == set()
    finally:
        engine.dispose()


def test_table_scan_is_detected(database_url):
    with serve(finished_world(50)) as emulator:
        run_sync(settings_for(emulator, database_url))
    engine = open_engine(database_url, read_only=True)
    try:
        with engine.connect() as connection:
            assert scanned(connection, "SELECT url, count(*) FROM tasks GROUP BY url") == {"tasks"}
    finally:
        engine.dispose()
