"""
The floor: the prototype, but it stores and compares all that gcore-etl does, by the fastest ways known.

A first load stores every column, the hash of each record, the history and the indexes, in the same batches. A
second load decodes every record, looks its hash up, and notes which tasks were seen; no record may differ.
There are no migrations, checks, retries or reports.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import itertools
import sqlite3
from typing import TYPE_CHECKING, Any

import msgspec
from prototype import COLUMNS, Task, batches, columns_sql, decode_task, row_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BATCH, PART = 5_000, 1_000
TEXTS = (*COLUMNS, "task_data", "created_before", "first_seen_at", "changed_at", "is_result_due")
NAMES = ", ".join((*TEXTS, "payload_hash"))
# Null in the records of the benchmarks.
EMPTY = ("date_created", "created_after", "extra", "removed_at", "detail", "detail_due_at")
EVENT = ("task_id", "run_id", "observed_at", "event", "status", "progress")
TASKS = f"tasks ({columns_sql((*TEXTS, *EMPTY), 'text')}, payload_hash {{binary}}, PRIMARY KEY (task_id))"
HISTORY = f"task_history (history_id {{serial}} PRIMARY KEY, {columns_sql(EVENT, 'text')})"
INDEXES = (
    "ix_started ON tasks (started_at)",
    "ix_in_flight ON tasks (task_id) WHERE status NOT IN ('FAILURE', 'REVOKED', 'SUCCESS')",
    "ix_due ON tasks (completed_at) WHERE is_result_due = '1'",
    "ix_history ON task_history (task_id, history_id)",
)
MISSING = "SELECT count(*) FROM tasks WHERE NOT EXISTS (SELECT 1 FROM seen WHERE seen.id = tasks.task_id)"
NOW = dt.datetime.now(dt.UTC).isoformat(sep=" ", timespec="microseconds").removesuffix("+00:00")

Record = tuple[Task, bytes]
_encode = msgspec.json.Encoder().encode


def iter_batches(url: str) -> Iterator[list[Record]]:
    """Yield batches of five thousand tasks, ordered by id, with the hashes of their records."""
    for batch in batches(url, ordering="task_id"):
        for start in range(0, len(batch), BATCH):
            part = batch[start : start + BATCH]
            yield [(decode_task(raw), hashlib.blake2b(raw, digest_size=16).digest()) for raw in part]


def rows_of(batch: list[Record]) -> Iterator[tuple[Any, ...]]:
    """Yield the values of NAMES."""
    for task, digest in batch:
        due = "0" if task.status == "REVOKED" else "1"
        data = _encode(task.task_data).decode()
        yield (*row_of(task), data, task.processing_time.started_at, NOW, NOW, due, digest)


class Sqlite:
    """Inserts a thousand rows per statement, and builds the indexes at the end."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA page_size = 8192")
        self._connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
        self._connection.execute(f"CREATE TABLE IF NOT EXISTS {TASKS.format(binary='blob')}")
        self._connection.execute(f"CREATE TABLE IF NOT EXISTS {HISTORY.format(serial='integer')}")
        self._connection.execute("CREATE TEMPORARY TABLE seen (id text PRIMARY KEY)")
        found = self._connection.execute("SELECT coalesce(max(rowid), 0) FROM tasks")
        self.rows: int = found.fetchone()[0]

    def insert(self, batch: list[Record]) -> None:
        """Write and commit a batch with its history."""
        self._connection.execute("BEGIN IMMEDIATE")
        waiting = rows_of(batch)
        while rows := list(itertools.islice(waiting, PART)):
            marks = ", ".join([f"({', '.join('?' * len(rows[0]))})"] * len(rows))
            values = tuple(itertools.chain.from_iterable(rows))
            self._connection.execute(f"INSERT INTO tasks ({NAMES}) VALUES {marks}", values)
        copied = f"SELECT task_id, 1, '{NOW}', 'discovered', status, progress FROM tasks WHERE rowid > ?"
        self._connection.execute(f"INSERT INTO task_history ({', '.join(EVENT)}) {copied}", (self.rows,))
        self.rows += len(batch)
        self._connection.execute("COMMIT")

    def hashes(self, ids: list[str]) -> Iterable[tuple[str, bytes]]:
        """Note that these tasks were seen, and return the hashes of those stored."""
        self._connection.execute("INSERT INTO seen SELECT value FROM json_each(?)", (_encode(ids).decode(),))
        query = "SELECT task_id, payload_hash FROM tasks WHERE task_id BETWEEN ? AND ?"
        return self._connection.execute(query, (min(ids), max(ids)))

    def finish(self, *, is_new: bool) -> None:
        """Build the indexes after a first load, or look for missing tasks after another one."""
        for statement in [f"CREATE INDEX {index}" for index in INDEXES] if is_new else [MISSING]:
            self._connection.execute(statement).fetchall()


class Postgres:
    """Copies rows straight into the tables."""

    def __init__(self, url: str) -> None:
        import psycopg  # noqa: PLC0415 - not needed for SQLite

        self._connection = psycopg.connect(url, autocommit=True)
        self._connection.execute(f"CREATE TABLE IF NOT EXISTS {TASKS.format(binary='bytea')}")
        self._connection.execute(f"CREATE TABLE IF NOT EXISTS {HISTORY.format(serial='bigserial')}")
        for index in INDEXES:
            self._connection.execute(f"CREATE INDEX IF NOT EXISTS {index}")
        self._connection.execute("CREATE TEMPORARY TABLE seen (id text)")
        found = self._connection.execute("SELECT count(*) FROM tasks")
        self.rows: int = found.fetchone()[0]

    def insert(self, batch: list[Record]) -> None:
        """Write and commit a batch with its history."""
        events = ((task.task_id, 1, NOW, "discovered", task.status, task.progress) for task, _ in batch)
        with self._connection.transaction(), self._connection.cursor() as cursor:
            for table, names, rows in (
                ("tasks", NAMES, rows_of(batch)),
                ("task_history", ", ".join(EVENT), events),
            ):
                with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)

    def hashes(self, ids: list[str]) -> Iterable[tuple[str, bytes]]:
        """Note that these tasks were seen, and return the hashes of those stored."""
        listed = (",".join(ids),)
        self._connection.execute("INSERT INTO seen SELECT unnest(string_to_array(%s, ','))", listed)
        query = "SELECT task_id, payload_hash FROM tasks WHERE task_id = ANY(string_to_array(%s, ','))"
        return self._connection.execute(query, listed)

    def finish(self, *, is_new: bool) -> None:
        """Look for missing tasks after any but the first load."""
        if not is_new:
            self._connection.execute(MISSING).fetchall()


def run(url: str, database: str) -> None:
    """Copy all tasks, or compare them with those stored."""
    is_file = database.startswith("sqlite:///")
    target = Sqlite(database.removeprefix("sqlite:///")) if is_file else Postgres(database)
    is_new = not target.rows
    for batch in iter_batches(url):
        if is_new:
            target.insert(batch)
        elif {task.task_id: digest for task, digest in batch} != dict(
            target.hashes([task.task_id for task, _ in batch])
        ):
            raise SystemExit("a record differs")
    target.finish(is_new=is_new)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("database")
    options = parser.parse_args()
    run(options.url, options.database)
