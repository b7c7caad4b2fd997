"""
Saved queries that answer common questions, one `.sql` file each.

A file begins with the question and a note, as comments. The query works on both databases; if it cannot,
there is one under `-- SQLite:` and another under `-- Postgres:`. `docs/queries.md` shows the queries with
their answers, and `gcore-etl explore` serves them.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from pathlib import Path

# In the order of docs/queries.md.
NAMES = (
    "types",
    "busiest_days",
    "hours",
    "at_once",
    "run_times",
    "waits",
    "outliers",
    "status_times",
    "as_of",
    "gone",
    "success_by_language",
    "hosts",
    "errors",
    "findings",
    "labels",
    "spoken",
    "speech",
    "minutes_by_month",
    "users",
    "to_fetch",
)
_TWO_QUERIES = re.compile(
    r".*?^-- SQLite:\n(?P<sqlite>.*)^-- Postgres:\n(?P<postgresql>.*)", re.DOTALL | re.MULTILINE
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SavedQuery:
    """A question, a note (which may be empty), and the query for `sqlite` and for `postgresql`."""

    name: str
    title: str
    note: str
    sql: dict[str, str]


def saved_queries() -> list[SavedQuery]:
    """Return the saved queries, in the order of docs/queries.md."""
    return [_read(name) for name in NAMES]


def by_dialect(source: str) -> dict[str, str]:
    """Return the query in a file for each database: those under `-- SQLite:` and `-- Postgres:`, if any."""
    two = _TWO_QUERIES.fullmatch(source)
    return two.groupdict() if two else {"sqlite": source, "postgresql": source}


def _read(name: str) -> SavedQuery:
    title, *lines = Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8").splitlines()
    notes = list(itertools.takewhile(lambda line: line.startswith("-- ") and line != "-- SQLite:", lines))
    sql = by_dialect("\n".join(lines[len(notes) :]))
    return SavedQuery(
        name=name,
        title=title.removeprefix("-- "),
        note=" ".join(line.removeprefix("-- ") for line in notes),
        sql={dialect: each.strip() for dialect, each in sql.items()},
    )
