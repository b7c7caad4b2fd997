"""docs/duckdb.md: every query on the page runs, and returns the same rows as SQLite."""

from __future__ import annotations

import datetime as dt
import os
import re
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.absent import give_up
from support.worlds import query, sync_while_it_changes

from etl import views
from etl.catalog import list_catalog
from etl.database import open_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection

PAGE = (Path(__file__).parents[2] / "docs" / "duckdb.md").read_text(encoding="utf-8")
ATTACH, FROM_TABLE, FROM_VIEW, FROM_FILE = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
(EXPORT,) = re.findall(r"```console\ngcore-etl (.*?)\n```", PAGE)
TABLES = [each.name for each in list_catalog() if each.kind == "table"]
COLUMNS = {each.name: each.sql_types for each in list_catalog()}
# Values relative to the current time.
TIME_DEPENDENT = {"age_seconds", "unchanged_seconds", "days_left"}
CASTS = {"integer": "BIGINT", "double precision": "DOUBLE"}


@pytest.fixture(scope="module")
def url(sqlite_databases) -> Iterator[str]:
    with sqlite_databases.migrated() as url:
        sync_while_it_changes(url)
        yield url


@pytest.fixture(scope="module")
def duck(url) -> Iterator[DuckDBPyConnection]:
    """Run the first block of the page, with the extension from a package instead of the network."""
    try:
        import duckdb  # noqa: PLC0415

        (extension,) = (
            each.locate()
            for each in metadata.files("duckdb-extension-sqlite-scanner") or ()
            if each.suffix == ".duckdb_extension"
        )
    except (ImportError, metadata.PackageNotFoundError) as error:
        give_up(f"there is no DuckDB with its extension sqlite here: {error}")
    attach = ATTACH.replace("INSTALL sqlite;\n", "").replace("LOAD sqlite", f"LOAD '{extension}'")
    with duckdb.connect() as connection:
        connection.execute(attach.replace("gcore_tasks.db", str(open_engine(url).url.database)))
        yield connection


def rows_of(duck, statement: str) -> list[tuple[object, ...]]:
    return [tuple(map(comparable, row)) for row in duck.execute(statement).fetchall()]


def comparable(value: object) -> object:
    """Return a timestamp as SQLite stores it, and a number rounded."""
    if isinstance(value, float):
        return round(value, 6)
    return f"{value:%Y-%m-%d %H:%M:%S.%f}" if isinstance(value, dt.datetime) else value


def test_documented_table_query_matches_sqlite(duck, url):
    statement = "SELECT status, count(*) AS tasks, max(started_at) FROM tasks GROUP BY 1 ORDER BY tasks DESC"
    assert sorted(rows_of(duck, FROM_TABLE)) == sorted(query(url, statement))


def test_documented_view_query_matches_sqlite(duck, url):
    statement = (
        "SELECT status, count(*) AS periods, max(seconds), max(valid_from) FROM status_spans"
        " WHERE seconds IS NOT NULL GROUP BY 1 ORDER BY periods DESC"
    )
    assert sorted(rows_of(duck, FROM_VIEW)) == sorted(query(url, statement))


def test_documented_parquet_query_matches_sqlite(duck, url, nursery, tmp_path):
    file = tmp_path / "task_timeline.parquet"
    arguments = EXPORT.replace("task_timeline.parquet", str(file)).split()
    assert nursery.run(dict(os.environ), *arguments, "-d", url).code == 0
    asked = FROM_FILE.replace("task_timeline.parquet", str(file)).strip(";\n")
    # Without a zone: for an instant with one, DuckDB's driver asks for a library of zones.
    without_zone = "task_name, tasks, longest_seconds, make_timestamp(epoch_us(last_start))"
    found = rows_of(duck, f"SELECT {without_zone} FROM ({asked})")
    statement = (
        "SELECT task_name, count(*) AS tasks, max(duration_seconds), max(started_at) FROM task_timeline"
        " GROUP BY 1 ORDER BY tasks DESC"
    )
    assert found == query(url, statement)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_readable_when_attached(duck, url, name):
    assert rows_of(duck, f"SELECT count(*) FROM g.{name}") == query(url, f"SELECT count(*) FROM {name}")


@pytest.mark.parametrize("name", views.NAMES)
def test_every_view_is_readable_through_sqlite_query(duck, url, name):
    columns = {column: kind for column, kind in COLUMNS[name].items() if column not in TIME_DEPENDENT}
    shown = ", ".join(columns)
    cast = ", ".join(f"CAST({column} AS {CASTS.get(kind, 'VARCHAR')})" for column, kind in columns.items())
    through = rows_of(duck, f"SELECT {cast} FROM sqlite_query('g', 'SELECT {shown} FROM {name}')")
    expected = [tuple(map(comparable, row)) for row in query(url, f"SELECT {shown} FROM {name}")]
    assert Counter(through) == Counter(expected)
