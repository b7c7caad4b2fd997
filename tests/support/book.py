"""The query book as a page: each question, its SQL, and its answer on the demo's data."""

from __future__ import annotations

import datetime as dt
import decimal
import re
import tempfile
from pathlib import Path

import sqlalchemy as sa

from etl.cli.demo import fill
from etl.database import reading
from etl.queries import SavedQuery, saved_queries

PAGE = Path(__file__).parents[2] / "docs" / "queries.md"
# The demo runs now; here always then, so that its answers stay what they are.
NOON = dt.datetime(2026, 6, 26, 12, 0, tzinfo=dt.UTC)
INTRODUCTION = """# Twenty questions, in SQL

Each with its query and the answer on the data of the demo, as of 26 June 2026 at noon. `make demo` makes the
same tasks up to the hour at which you run it: there, days, hours and what hangs on them differ.

On SQLite, `gcore-etl explore` shows all of them in a browser, on your own data. `gcore-etl schema` says what
is in the views that they read. Spans are in seconds where the name does not say otherwise, times are in UTC.

This page is made by `make docs` out of `etl/queries`; the tests run each query on both databases.
"""
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}")


def make_demo(database_url: str) -> None:
    """Fill a database as the demo does, at the moment of the book."""
    fill(database_url, now=NOON)


def answer(database_url: str, question: SavedQuery) -> tuple[list[str], list[list[str]]]:
    """Give the names of the columns and the rows, as the page shows them."""
    with reading(database_url) as connection:
        result = connection.execute(sa.text(question.sql[connection.dialect.name]))
        return list(result.keys()), [[shown(value) for value in row] for row in result]


def shown(value: object) -> str:
    """Write a value as people read it, the same from either database."""
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, str):
        return value[:19] if _INSTANT.fullmatch(value) else value
    if isinstance(value, decimal.Decimal) and value == value.to_integral_value():
        value = int(value)
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else f"{value:,.2f}"


def page(database_url: str) -> str:
    """Give the page, with the answers of this database."""
    chapters = [chapter(number, each, database_url) for number, each in enumerate(saved_queries(), 1)]
    return "\n".join([INTRODUCTION, *chapters])


def chapter(number: int, question: SavedQuery, database_url: str) -> str:
    """Give the part of the page that is about one question."""
    sqlite, postgres = question.sql["sqlite"], question.sql["postgresql"]
    queries = [sqlite] if sqlite == postgres else [f"-- SQLite\n{sqlite}", f"-- Postgres\n{postgres}"]
    names, rows = answer(database_url, question)
    table = [names, ["---"] * len(names), *rows]
    parts = [
        f"## {number}. {question.title}\n",
        *([f"{question.note}\n"] if question.note else []),
        *(f"```sql\n{query}\n```\n" for query in queries),
        "".join(f"| {' | '.join(each)} |\n" for each in table),
    ]
    return "\n".join(parts)


def main() -> None:
    """Write the page anew."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/demo.db"
        make_demo(url)
        PAGE.write_text(page(url), encoding="utf-8")


if __name__ == "__main__":
    main()
