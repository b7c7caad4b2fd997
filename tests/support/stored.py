"""Inserting rows directly, with only the relevant columns, and reading views with typed instants."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from sqlalchemy import column, insert, inspect, select, table

from etl.models import HISTORY, RESULTS, TASKS, UtcDateTime

if TYPE_CHECKING:
    from sqlalchemy import Connection

NOON = dt.datetime(2026, 6, 26, 12, tzinfo=dt.UTC)
_INSTANTS = {"watermark", "valid_from", "valid_to"}


def after(seconds: float) -> dt.datetime:
    """Return the instant this number of seconds after noon."""
    return NOON + dt.timedelta(seconds=seconds)


def table_names(connection: Connection) -> list[str]:
    """Return the names of the tables, without the full-text index, which differs between the databases."""
    names = inspect(connection).get_table_names()
    return [name for name in names if not name.startswith("transcript_words")]


def store_task(connection: Connection, task_id: str = "t", **columns: Any) -> None:
    """Insert a row into `tasks`."""
    row = {"task_id": task_id, "first_seen_at": NOON, "changed_at": NOON, **columns}
    connection.execute(insert(TASKS).values(row))


def store_history(connection: Connection, task_id: str, *rows: tuple[float, str, str | None]) -> None:
    """Insert rows into `task_history`, given as seconds after noon, event and status."""
    for seconds, kind, status in rows:
        row = {
            "task_id": task_id,
            "run_id": 1,
            "observed_at": after(seconds),
            "event": kind,
            "status": status,
        }
        connection.execute(insert(HISTORY).values(row))


def store_result(connection: Connection, task_id: str, state: str, **columns: Any) -> None:
    """Insert a row into `task_results`."""
    connection.execute(insert(RESULTS).values({"task_id": task_id, "state": state, **columns}))


def read_view(connection: Connection, name: str, *columns: str) -> list[tuple[Any, ...]]:
    """Return some columns of a view, sorted by them, null first."""
    typed = [
        column(each, UtcDateTime()) if each.endswith("_at") or each in _INSTANTS else column(each)
        for each in columns
    ]
    rows = [tuple(row) for row in connection.execute(select(*typed).select_from(table(name)))]
    return sorted(rows, key=lambda row: [(value is not None, value) for value in row])


def as_instant(value: Any) -> dt.datetime | None:
    """Return a stored instant, which is text on SQLite, as a datetime in UTC."""
    if isinstance(value, str):
        return dt.datetime.fromisoformat(value).replace(tzinfo=dt.UTC)
    instant: dt.datetime | None = value
    return instant
