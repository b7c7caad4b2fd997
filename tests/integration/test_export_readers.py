"""Exports as other programs read them: types, empty tables, and partitioned folders."""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa
from pyarrow import dataset, parquet
from support.absent import give_up
from support.stored import after, store_history, store_result, store_task

from etl.database import open_engine, reading
from etl.export import FORMATS, export
from etl.frames.selection import SELECTIONS
from etl.models import DETECTIONS, RUNS, SUBTITLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.databases import Databases

DAY = 86_400
LARGE = 9_007_199_254_740_993  # no float holds it
TIMED = [name for name, selection in SELECTIONS.items() if selection.time is not None]
WITH_DAY = [name for name, selection in SELECTIONS.items() if "day" in selection.columns]
# These count from now, so they differ between two exports.
PASSING = ("age_seconds", "unchanged_seconds", "days_left")


def fill(connection: sa.Connection) -> None:
    """Store tasks from two months and one without any time, with rows in all tables."""
    for number, status in enumerate(["SUCCESS", "FAILURE", "STARTED", "PENDING", "REVOKED", "SUCCESS"]):
        seconds = (number - 3) * 3 * DAY
        task_id = f"task {number}/é'\"="
        times = {} if status == "PENDING" else {"started_at": after(seconds)}
        if status in {"SUCCESS", "FAILURE", "REVOKED"}:
            times["completed_at"] = after(seconds + 90.25)
        store_task(
            connection,
            task_id,
            task_name=["transcription", "content-moderation"][number % 2],
            status=status,
            client_id=LARGE,
            client_user_id="00042",
            task_data={"n": LARGE, "text": "ß\n"},
            extra=None if number else {"later": [1, None]},
            created_before=None if status == "PENDING" else after(seconds),
            first_seen_at=after(seconds),
            **times,
        )
        store_history(connection, task_id, (seconds, "discovered", None), (seconds + 60, "changed", status))
        if status == "SUCCESS":
            found = {"result": {"id": LARGE}, "languages": ["eng"], "speech_detected": number == 0}
            store_result(connection, task_id, "archived", kind="transcription", text="a\tb", **found)
            lines = [{"start_seconds": 1.5, "end_seconds": None, "text": "- Et toi ?"}, {"text": None}]
            for position, line in enumerate(lines):
                row = {"task_id": task_id, "position": position, **line}
                connection.execute(sa.insert(SUBTITLES).values(row))
            found = {"frame_number": 7, "label": None, "confidence": 0.1}
            connection.execute(sa.insert(DETECTIONS).values(task_id=task_id, position=0, **found))
    for seconds in (-20 * DAY, 20 * DAY):
        run = {"started_at": after(seconds), "mode": "full", "status": "succeeded"}
        connection.execute(sa.insert(RUNS).values(run))


@contextlib.contextmanager
def filled(databases: Databases) -> Iterator[str]:
    with databases.migrated() as url:
        engine = open_engine(url)
        with engine.begin() as connection:
            fill(connection)
        engine.dispose()
        yield url


@pytest.fixture(scope="module")
def sqlite_filled(sqlite_databases) -> Iterator[str]:
    with filled(sqlite_databases) as url:
        yield url


@pytest.fixture(scope="module")
def postgres_filled(postgres_databases) -> Iterator[str]:
    with filled(postgres_databases) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def filled_url(request) -> str:
    return request.getfixturevalue(f"{request.param}_filled")


def an_import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        give_up(f"there is no {name} here")


# Each reads a file or folder in the way its documentation shows first, and returns an Arrow table.
def by_pandas(path: Path) -> pa.Table:
    frame = pd.read_parquet(path)
    partition = [name for name in frame if isinstance(frame[name].dtype, pd.CategoricalDtype)]
    return pa.Table.from_pandas(frame.drop(columns=partition), preserve_index=False).replace_schema_metadata()


def by_pyarrow(path: Path) -> pa.Table:
    return dataset.dataset(path, partitioning="hive").to_table()


def by_duckdb(path: Path) -> pa.Table:
    source = f"{path}/**/*.parquet" if path.is_dir() else str(path)
    with an_import("duckdb").connect() as connection:
        connection.execute("SET TimeZone = 'America/New_York'")
        return connection.sql(f"SELECT * FROM read_parquet('{source}')").to_arrow_table()


def by_polars(path: Path) -> pa.Table:
    return an_import("polars").read_parquet(path).to_arrow()


READERS = [by_pandas, by_pyarrow, by_duckdb, by_polars]


def rows_of(table: pa.Table, names: list[str]) -> list[str]:
    """Return the sorted rows of these columns, with timestamps in UTC."""
    columns = []
    for name in names:
        column = table[name]
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("us", "UTC"))
        columns.append(column.to_pylist())
    return sorted(map(repr, zip(*columns, strict=True)))


@pytest.mark.parametrize("period", ["day", "month"])
@pytest.mark.parametrize("read", READERS)
def test_partitions_have_the_same_rows_as_one_file_in_every_reader(
    filled_url, tmp_path, read: Callable[[Path], pa.Table], period
):
    for name in TIMED:
        file, folder = tmp_path / f"{name}.parquet", tmp_path / name
        number = export(name, file, source=filled_url)
        assert export(name, folder, source=filled_url, format="parquet", partition_by=period) == number
        expected, found = read(file), read(folder)
        # A reader may add one column, from the names of the folders.
        names = list(SELECTIONS[name].columns)
        added = [each for each in found.column_names if each not in names]
        assert added in ([], [period], [f"partition_{period}"]), name
        assert [(each, found.schema.field(each).type) for each in names] == [
            (each, expected.schema.field(each).type) for each in names
        ], name
        kept = [each for each in names if each not in PASSING]
        assert rows_of(found, kept) == rows_of(expected, kept), name


@pytest.mark.parametrize("read", READERS)
def test_every_reader_reads_the_columns_of_an_export_without_rows(
    migrated_url, tmp_path, read: Callable[[Path], pa.Table]
):
    for name in TIMED:
        folder = tmp_path / name
        if export(name, folder, source=migrated_url, format="parquet", partition_by="month"):
            continue
        found = read(folder)
        assert found.num_rows == 0
        assert set(SELECTIONS[name].columns) <= set(found.column_names), name


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_partitions_of_csv_and_ndjson_can_be_read_back(filled_url, tmp_path, kind):
    duckdb = an_import("duckdb")
    for name in TIMED:
        for period in ("day", "month"):
            folder = tmp_path / f"{name}-{period}"
            number = export(name, folder, source=filled_url, format=kind, partition_by=period)
            function = {"csv": "read_csv", "ndjson": "read_json"}[kind]
            with duckdb.connect() as connection:
                query = f"SELECT count(*) FROM {function}('{folder}/**/*.{kind}', union_by_name = true)"
                assert connection.execute(query).fetchone() == (number,)
            if kind == "csv" and number:
                read = dataset.dataset(folder, format="csv", partitioning="hive").to_table()
                assert read.num_rows == number


def test_a_partitioned_folder_contains_only_its_partitions(filled_url, tmp_path):
    for kind in FORMATS:
        folder = tmp_path / kind
        export("task_daily", folder, source=filled_url, format=kind, partition_by="month")
        files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
        assert {path.name for path in files} == {f"part-0.{kind}"}
        assert {str(path.parent) for path in files} == {"month=2026-06", "month=2026-07", "month=unknown"}
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FORMATS)


def test_a_day_is_a_date_in_every_time_zone(filled_url, tmp_path):
    assert len(WITH_DAY) >= 3
    duckdb = an_import("duckdb")
    for name in WITH_DAY:
        file = tmp_path / f"{name}.parquet"
        assert export(name, file, source=filled_url) > 1
        assert parquet.read_schema(file).field("day").type == pa.date32()
        with reading(filled_url) as connection:
            stored = {day for (day,) in connection.execute(sa.text(f"SELECT day FROM {name}"))}
        for zone in ("UTC", "America/New_York", "Asia/Tokyo"):
            with duckdb.connect() as connection:
                connection.execute(f"SET TimeZone = '{zone}'")
                days = connection.execute(f"SELECT DISTINCT strftime(day, '%Y-%m-%d') FROM '{file}'")
                assert {day for (day,) in days.fetchall()} == stored


def test_a_day_has_no_time_in_csv_and_ndjson(filled_url, tmp_path):
    for kind in ("csv", "ndjson"):
        file = tmp_path / f"daily.{kind}"
        export("task_daily", file, source=filled_url)
        text = file.read_text()
        assert "2026-06-17" in text
        assert "00:00" not in text


# The types of Postgres, and those in Parquet.
OF_POSTGRES = {
    "text": pa.string(),
    "jsonb": pa.string(),
    "integer": pa.int64(),
    "bigint": pa.int64(),
    "double precision": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp with time zone": pa.timestamp("us", "UTC"),
}
# The storage classes of such a column in SQLite.
OF_SQLITE = {
    pa.string(): {"text"},
    pa.date32(): {"text"},
    pa.timestamp("us", "UTC"): {"text"},
    pa.int64(): {"integer"},
    pa.bool_(): {"integer"},
    # SQLite may store a number without a fraction as an integer.
    pa.float64(): {"real", "integer"},
}


def test_parquet_column_types_match_the_database(filled_url, tmp_path):
    with reading(filled_url) as connection:
        for name, selection in SELECTIONS.items():
            file = tmp_path / f"{name}.parquet"
            export(name, file, source=filled_url)
            schema = parquet.read_schema(file)
            assert schema.names == list(selection.columns)
            if connection.dialect.name == "postgresql":
                columns = "SELECT column_name, data_type FROM information_schema.columns"
                query = sa.text(f"{columns} WHERE table_name = :name AND table_schema = current_schema()")
                stored = {
                    column: pa.date32() if column == "day" else OF_POSTGRES.get(kind)
                    for column, kind in connection.execute(query, {"name": name})
                }
                assert {field.name: field.type for field in schema} == {
                    field: stored[field] for field in schema.names
                }, name
            else:
                for field in schema:
                    kinds = connection.execute(sa.text(f'SELECT DISTINCT typeof("{field.name}") FROM {name}'))
                    assert {kind for (kind,) in kinds} - {"null"} <= OF_SQLITE[field.type], (name, field.name)


def test_values_are_exact_in_parquet(filled_url, tmp_path):
    file = tmp_path / "tasks.parquet"
    export("tasks", file, source=filled_url)
    row = next(row for row in parquet.read_table(file).to_pylist() if row["task_id"].startswith("task 0"))
    assert row["client_id"] == LARGE
    assert row["client_user_id"] == "00042"
    assert row["task_data"] in (
        '{"n":9007199254740993,"text":"ß\\n"}',
        '{"text":"ß\\n","n":9007199254740993}',
    )
    assert row["completed_at"] == dt.datetime(2026, 6, 17, 12, 1, 30, 250_000, tzinfo=dt.UTC)
    assert row["date_created"] is None
    assert row["is_result_due"] is False
