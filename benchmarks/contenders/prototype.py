"""
The minimum: fetch, decode and upsert, without history, checks or retries.

With --hash, rows whose record has not changed are not written.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE, THREADS, BATCH = 1000, 4, 10_000
DATA = ("task_name", "url", "category", "audio_language", "subtitles_language", "stop_objects")
DATA += ("client_id", "client_user_id", "client_entity_data")
TIMES = ("started_at", "completed_at", "total_time_sec")
COLUMNS = ("task_id", "status", "progress", *DATA, *TIMES)
TYPES = {"progress": "integer", "client_id": "bigint", "total_time_sec": "double precision"}


class TaskData(msgspec.Struct, gc=False):
    """The task data."""

    task_name: str | None = None
    url: str | None = None
    category: str | None = None
    audio_language: str | None = None
    subtitles_language: str | None = None
    stop_objects: str | None = None
    client_id: int | None = None
    client_user_id: str | None = None
    client_entity_data: str | None = None


class Times(msgspec.Struct, gc=False):
    """The processing time."""

    started_at: str | None = None
    completed_at: str | None = None
    total_time_sec: float | None = None


class Task(msgspec.Struct, gc=False):
    """A record."""

    task_id: str
    status: str
    progress: int | None
    task_data: TaskData
    processing_time: Times


class Page(msgspec.Struct):
    """A page, with its records not decoded yet."""

    count: int
    results: list[msgspec.Raw]


decode_page = msgspec.json.Decoder(Page).decode
decode_task = msgspec.json.Decoder(Task).decode


def row_of(task: Task) -> tuple[Any, ...]:
    """Return the values in the order of the columns."""
    data, times = task.task_data, task.processing_time
    return (
        *(task.task_id, task.status, task.progress),
        *(data.task_name, data.url, data.category, data.audio_language, data.subtitles_language),
        *(data.stop_objects, data.client_id, data.client_user_id, data.client_entity_data),
        *(times.started_at, times.completed_at, times.total_time_sec),
    )


def batches(url: str, **query: str) -> Iterator[list[msgspec.Raw]]:
    """Yield batches of ten thousand records of a list, fetching ahead."""
    headers = {"Authorization": "APIKey 1$benchmark"}
    with (
        httpx.Client(base_url=url, headers=headers, timeout=60) as client,
        ThreadPoolExecutor(THREADS) as pool,
    ):

        def fetch(page: int) -> Page:
            answer = client.get("/streaming/ai/tasks", params={"page": page, "limit": PAGE, **query})
            return decode_page(answer.raise_for_status().content)

        first = fetch(1)
        batch = first.results
        for page in pool.map(fetch, range(2, -(-first.count // PAGE) + 1)):
            batch += page.results
            if len(batch) >= BATCH:
                yield batch
                batch = []
        yield batch


class Sqlite:
    """Writes each batch with executemany."""

    def __init__(self, path: str, columns: tuple[str, ...]) -> None:
        self.connection = sqlite3.connect(path)
        self.connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
        self.connection.execute(
            f"CREATE TABLE IF NOT EXISTS tasks ({columns_sql(columns, 'blob')}, PRIMARY KEY (task_id))"
        )
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        changes = ", ".join(f"{name} = excluded.{name}" for name in columns[1:])
        differ = " OR ".join(f"tasks.{name} IS NOT excluded.{name}" for name in columns[1:])
        self.statement = (
            f"INSERT INTO tasks ({names}) VALUES ({marks}) ON CONFLICT (task_id) DO UPDATE SET {changes} "
            f"WHERE {differ}"
        )

    def upsert(self, rows: list[tuple[Any, ...]]) -> None:
        """Write and commit a batch."""
        with self.connection:
            self.connection.executemany(self.statement, rows)

    def hashes(self) -> set[bytes]:
        """Return the hashes of all rows."""
        return {row[0] for row in self.connection.execute("SELECT hash FROM tasks")}


class Postgres:
    """Copies each batch into a temporary table, then upserts it with one statement."""

    def __init__(self, url: str, columns: tuple[str, ...]) -> None:
        import psycopg  # noqa: PLC0415 - not needed for SQLite

        self.connection = psycopg.connect(url, autocommit=True)
        table = columns_sql(columns, "bytea")
        self.connection.execute(f"CREATE TABLE IF NOT EXISTS tasks ({table}, PRIMARY KEY (task_id))")
        self.connection.execute(f"CREATE TEMPORARY TABLE incoming ({table}) ON COMMIT DELETE ROWS")
        names = ", ".join(columns)
        changes = ", ".join(f"{name} = excluded.{name}" for name in columns[1:])
        row, new = (", ".join(f"{whose}.{name}" for name in columns[1:]) for whose in ("tasks", "excluded"))
        self.copy = f"COPY incoming ({names}) FROM STDIN"
        self.statement = (
            f"INSERT INTO tasks ({names}) SELECT {names} FROM incoming ON CONFLICT (task_id) DO UPDATE "
            f"SET {changes} WHERE ({row}) IS DISTINCT FROM ({new})"
        )

    def upsert(self, rows: list[tuple[Any, ...]]) -> None:
        """Write and commit a batch."""
        with self.connection.transaction(), self.connection.cursor() as cursor:
            with cursor.copy(self.copy) as copy:
                for row in rows:
                    copy.write_row(row)
            cursor.execute(self.statement)

    def hashes(self) -> set[bytes]:
        """Return the hashes of all rows."""
        return {bytes(row[0]) for row in self.connection.execute("SELECT hash FROM tasks")}


def columns_sql(columns: tuple[str, ...], binary: str) -> str:
    """Return the column definitions of the table."""
    return ", ".join(f"{name} {binary if name == 'hash' else TYPES.get(name, 'text')}" for name in columns)


def run(url: str, database: str, *, with_hash: bool) -> None:
    """Copy all tasks."""
    columns = (*COLUMNS, "hash") if with_hash else COLUMNS
    is_file = database.startswith("sqlite:///")
    target = Sqlite(database.removeprefix("sqlite:///"), columns) if is_file else Postgres(database, columns)
    with contextlib.closing(target.connection):
        known = target.hashes() if with_hash else set()
        for batch in batches(url):
            if with_hash:
                hashed = [(raw, hashlib.blake2b(raw, digest_size=16).digest()) for raw in batch]
                rows = [(*row_of(decode_task(raw)), digest) for raw, digest in hashed if digest not in known]
            else:
                rows = [row_of(decode_task(raw)) for raw in batch]
            if rows:
                target.upsert(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("database")
    parser.add_argument("--hash", action="store_true")
    options = parser.parse_args()
    run(options.url, options.database, with_hash=options.hash)
