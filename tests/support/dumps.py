"""
Dumps of a database, to compare with those of another one, or with those before and after a command.

Copies of the same world may differ only in the ids of runs and rows.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import sqlite3
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy import inspect, make_url, text

from etl.database import current_revision, head_revision, open_engine, reading
from etl.database.revisions import TABLES
from etl.errors import NoTablesError
from etl.models import STATUSES_WITH_RESULT
from etl.views import NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

Row = dict[str, Any]
# The columns that group the rows of each table, that order them, and that number them.
_KEYS = {"sync_state": "state_id", "rejected_records": "raw_hash"}
_ORDERS = {
    "task_history": "history_id",
    "subtitles": "position",
    "detections": "position",
    "transcript_parts": "first_position",
}
_NUMBERS = {
    "task_history": {"history_id", "run_id"},
    "rejected_records": {"rejected_id", "run_id"},
    "transcript_parts": {"part_id"},
}
# Times of the local clock, which differ from run to run.
_CLOCK_READINGS = {"sync_state": {"watermark_set_at"}}
# The columns that a run writes with each batch.
_CHANGE_DURING_RUN = {
    "is_result_due",
    "present_tasks",
    "client_ids",
    "words_version",
    "granted_page_size",
    "max_page_size",
}
# The lists in a result, and the table with a row for each item.
_PARTS = {"subtitles": "subtitles", "frames": "detections"}


@dataclasses.dataclass(frozen=True)
class Dump:
    """
    The schema revision, the views, and the rows of each table, grouped by key and in order.

    `runs` are the rows of `sync_runs`; `events` counts the history events by run and kind.
    """

    revision: str | None = None
    views: frozenset[str] = frozenset()
    tables: dict[str, dict[Any, list[Row]]] = dataclasses.field(default_factory=dict)
    runs: list[Row] = dataclasses.field(default_factory=list)
    events: Counter[tuple[int, str]] = dataclasses.field(default_factory=Counter)

    def rows(self, table: str, key: Any) -> list[Row]:
        """Return the rows with this key."""
        return self.tables.get(table, {}).get(key, [])

    def keys(self, table: str) -> set[Any]:
        """Return the keys of this table."""
        return set(self.tables.get(table, {}))

    def settled(self, table: str, key: Any) -> list[Row]:
        """Return the rows without the columns that change during a run."""
        return [_without(row, *_CHANGE_DURING_RUN) for row in self.rows(table, key)]

    @property
    def state(self) -> Row:
        """The row of `sync_state`, without the columns that change during a run, and without nulls."""
        rows = self.settled("sync_state", 1)
        return {name: value for name, value in _without(rows[0], "state_id").items() if value} if rows else {}


def _without(row: Row, *names: str) -> Row:
    return {name: value for name, value in row.items() if name not in names}


def read_dump(database_url: str) -> Dump:
    """Return a dump of one snapshot; it is empty if there is no database."""
    try:
        with reading(database_url, any_schema=True) as connection:
            inspector = inspect(connection)
            found = {
                name: [dict(row) for row in connection.execute(text(f"SELECT * FROM {name}")).mappings()]
                for name in set(inspector.get_table_names()).intersection(TABLES)
            }
            views, revision = frozenset(inspector.get_view_names()), current_revision(connection)
    except NoTablesError:
        return Dump()
    events = Counter((row["run_id"], row["event"]) for row in found.get("task_history", []))
    runs = sorted(found.pop("sync_runs", []), key=lambda row: int(row["run_id"]))
    tables = {name: _grouped(name, rows) for name, rows in found.items()}
    return Dump(revision, views, tables, runs, events)


def _grouped(table: str, rows: list[Row]) -> dict[Any, list[Row]]:
    groups: dict[Any, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.get(_ORDERS.get(table, ""), 0)):
        kept = _without(row, *_NUMBERS.get(table, ()), *_CLOCK_READINGS.get(table, ()))
        groups[row[_KEYS.get(table, "task_id")]].append(kept)
    return dict(groups)


def differences(found: Dump, expected: Dump) -> list[str]:
    """Return descriptions of the differences between two databases, except in their runs."""
    schemas = [(dump.revision, dump.views) for dump in (found, expected)]
    lines = [] if schemas[0] == schemas[1] else [f"schema {schemas[0]} for {schemas[1]}"]
    for table in TABLES:
        for key in found.keys(table) | expected.keys(table):
            here, there = found.rows(table, key), expected.rows(table, key)
            if here != there:
                lines.append(f"{table} {key!r}: {here} for {there}")
    return lines


def contradictions(dump: Dump) -> list[str]:
    """Return descriptions of inconsistencies within a database, as far as its schema allows."""
    lines = list(_contradictions_of_history(dump))
    if dump.views != (set(NAMES) if dump.revision == head_revision() else set()):
        lines.append(f"schema {dump.revision} with the views {sorted(dump.views)}")
    if dump.revision == head_revision():
        lines += [*_contradictions_of_results(dump), *_contradictions_of_runs(dump)]
    return lines


def _contradictions_of_history(dump: Dump) -> Iterator[str]:
    """Compare each event with the previous one, and the task with the last one."""
    for task_id in dump.keys("tasks") | dump.keys("task_history"):
        known, is_present = (None, None), False
        for event in dump.rows("task_history", task_id):
            if (event["previous_status"], event["previous_progress"]) != known:
                yield f"{task_id}: {event} does not follow {known}"
            if is_present != (event["event"] in {"changed", "removed"}):
                yield f"{task_id}: {event} of a task that was {'there' if is_present else 'not there'}"
            known, is_present = (event["status"], event["progress"]), event["event"] != "removed"
        tasks = [
            ((row["status"], row["progress"]), row["removed_at"] is None)
            for row in dump.rows("tasks", task_id)
        ]
        if tasks != [(known, is_present)]:
            yield f"{task_id}: {tasks}, and by its history {known}, {is_present}"


def _contradictions_of_results(dump: Dump) -> Iterator[str]:
    """Compare each result with its task, and its subtitles and detections with its document."""
    parts = {task_id for table in _PARTS.values() for task_id in dump.keys(table)}
    for task_id in dump.keys("tasks") | dump.keys("task_results") | parts:
        task = next(iter(dump.rows("tasks", task_id)), None)
        result = next(iter(dump.rows("task_results", task_id)), None)
        has_result = task is not None and task["status"] in STATUSES_WITH_RESULT
        if result is not None and not has_result:
            yield f"{task_id}: a result of {task}"
        if task is not None and task["is_result_due"] != (has_result and result is None):
            yield f"{task_id}: {task['status']}, due: {task['is_result_due']}, stored: {result}"
        document = result["result"] if result is not None and result["state"] == "archived" else {}
        whole = json.loads(document) if isinstance(document, str) else document
        for part, table in _PARTS.items():
            if len(dump.rows(table, task_id)) != len(whole.get(part) or ()):
                yield f"{task_id}: {len(dump.rows(table, task_id))} {table} of {whole.get(part)}"


def _contradictions_of_runs(dump: Dump) -> Iterator[str]:
    """Compare the counters of the runs with the history, and the number of tasks with the tasks."""
    present = sum(row["removed_at"] is None for (row,) in dump.tables["tasks"].values())
    for state in dump.rows("sync_state", 1):
        if state["present_tasks"] != present:
            yield f"{present} tasks are present, and not {state['present_tasks']}"
    for run_id, event in dump.events:
        if run_id not in {0, *(run["run_id"] for run in dump.runs)}:  # 0: before there were runs
            yield f"tasks were {event} in run {run_id}, which is not there"
    for run in dump.runs:
        if (run["finished_at"] is None) != (run["status"] == "running"):
            yield f"run {run['run_id']} is {run['status']} and finished at {run['finished_at']}"


def miscounts(dump: Dump, name: str) -> list[str]:
    """Return the runs whose counter differs from the history."""
    event = {"inserted": "discovered", "removed": "removed"}[name]
    numbers = [(run, dump.events[run["run_id"], event]) for run in dump.runs]
    return [f"{run}: {name} {number}" for run, number in numbers if run[name] != number]


def untruths(found: Dump, before: Dump, after: Dump) -> list[str]:
    """
    Return descriptions of rows that are neither as before nor as after the interrupted command.

    Each row is either in its old or in its new state, and none is missing. Schema and state are completely
    old or completely new: if the watermark has moved, all rows that it covers are stored.
    """
    if found.revision == before.revision != after.revision:
        return differences(found, before)
    lines = [] if found.revision == after.revision else [f"schema {found.revision}"]
    for table in ("tasks", "task_results", "subtitles", "transcript_parts", "detections", "rejected_records"):
        for key in found.keys(table) | before.keys(table):
            rows, first, last = (each.settled(table, key) for each in (found, before, after))
            if rows not in (first, last):
                lines.append(f"{table} {key!r}: {rows}, and was {first}, will be {last}")
    for key in found.keys("task_history") | before.keys("task_history"):
        rows, first, last = (each.rows("task_history", key) for each in (found, before, after))
        if rows[: len(first)] != first or rows != last[: len(rows)]:
            lines.append(f"task_history {key}: {rows}, from {first} on the way to {last}")
    return lines + _untruths_of_state(found, before, after)


def _untruths_of_state(found: Dump, before: Dump, after: Dump) -> list[str]:
    if found.state not in (before.state, after.state):
        return [f"sync_state: {found.state}, and was {before.state}, will be {after.state}"]
    missing = [
        key for key in after.keys("tasks") if found.settled("tasks", key) != after.settled("tasks", key)
    ]
    return [f"{found.state} covers {missing}"] if missing and found.state != before.state else []


@contextlib.contextmanager
def copy_of(database_url: str) -> Iterator[str]:
    """Yield the URL of a copy of a database without connections; if there is no file, of no file."""
    if database_url.startswith("sqlite"):
        path = _path(database_url)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            if path.exists():
                shutil.copy(path, folder)
            yield f"sqlite:///{folder}/{path.name}"
        return
    url = make_url(database_url)
    name = f"{url.database}_copy"
    server = url.set(database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(server, autocommit=True) as admin:
        statement = SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        admin.execute(statement.format(Identifier(name), Identifier(url.database or "")))
        try:
            yield url.set(database=name).render_as_string(hide_password=False)
        finally:
            admin.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


def damage(database_url: str) -> list[str]:
    """Return the errors that SQLite's integrity check reports; none on Postgres."""
    if not database_url.startswith("sqlite") or not _path(database_url).exists():
        return []
    # Read-only, because the last writer to close the file would clean up after the killed process.
    with contextlib.closing(
        sqlite3.connect(f"{_path(database_url).as_uri()}?mode=ro", uri=True)
    ) as connection:
        return [line for (line,) in connection.execute("PRAGMA integrity_check") if line != "ok"]


def _path(database_url: str) -> Path:
    return Path(open_engine(database_url).url.database or "")
