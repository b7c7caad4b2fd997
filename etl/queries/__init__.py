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


def read_sql(path: Path) -> tuple[list[str], dict[str, str]]:
    """Return the lines of the comment at the top of a file, and its query for each database."""
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines(keepends=True)
    comment = list(itertools.takewhile(lambda line: line.startswith("-- ") and line != "-- SQLite:\n", lines))
    two = _TWO_QUERIES.fullmatch(source)
    one = "".join(lines[len(comment) :])
    queries = two.groupdict() if two else {"sqlite": one, "postgresql": one}
    return [line.removeprefix("-- ").rstrip("\n") for line in comment], queries


def _read(name: str) -> SavedQuery:
    (title, *note), queries = read_sql(Path(__file__).with_name(f"{name}.sql"))
    sql = {dialect: query.strip() for dialect, query in queries.items()}
    return SavedQuery(name=name, title=title, note=" ".join(note), sql=sql)
