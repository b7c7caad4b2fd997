"""`etl.frames`: the same frames from both databases, with the documented dtypes and all values."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import TYPE_CHECKING

import pandas as pd
import pytest
import sqlalchemy as sa
from pandas.testing import assert_frame_equal
from support.frames import ALL, FUNCTIONS, listening, read
from support.grids import one_in
from support.stored import NOON, after, store_history, store_result, store_task
from support.worlds import a_world, settings_for

from etl import frames, views
from etl.database import open_engine
from etl.emulator import Behaviour, serve
from etl.models import API_FIELDS, METADATA, FieldKind
from etl.sync.api import run_sync
from etl.sync.options import SyncOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.databases import Databases


TABLES = {"results": "task_results", "runs": "sync_runs"}

# Columns that depend on the current time or on the clock of this machine.
TIME_DEPENDENT = {
    "runs": ["started_at", "finished_at"],
    "in_flight": ["age_seconds", "unchanged_seconds"],
    "results_expiring": ["days_left"],
    "stalls": ["age_seconds", "unchanged_seconds"],
    "freshness": ["synced_at", "age_seconds"],
}

UTC = "datetime64[us, UTC]"

# The same in every frame.
NAMES = {
    "string": "task_id url stop_objects client_user_id client_entity_data text vtt error version host"
    " error_kind",
    "category": "task_name status category audio_language subtitles_language event previous_status state kind"
    " label mode from_status to_status",
    "Int64": "progress client_id history_id run_id previous_progress attempts failures position frame_number"
    " requests pages tasks_seen inserted updated unchanged removed results_archived rejected n tasks"
    " transitions finished succeeded failed revoked retried fell_back present_tasks failed_since lines",
    "float64": "total_time_sec start_seconds end_seconds confidence created_error_seconds wait_seconds"
    " duration_seconds total_seconds mean_seconds p50_seconds p95_seconds p99_seconds seconds age_seconds"
    " unchanged_seconds days_left success_rate processed_minutes succeeded_minutes usual_seconds"
    " at_least_seconds",
    "boolean": "is_result_due detected speech_detected",
    "object": "task_data extra result languages",
    UTC: "started_at completed_at date_created created_after created_before first_seen_at changed_at"
    " removed_at observed_at fetched_at next_attempt_at finished_at watermark_before watermark_after"
    " created_at day valid_from valid_to failed_at expires_at"
    " last_at first_at synced_at watermark last_full_at",
}

# A field of the API that is not listed above has the dtype of its kind.
OF_KIND = {
    FieldKind.TEXT: "string",
    FieldKind.SMALL_INTEGER: "Int64",
    FieldKind.INTEGER: "Int64",
    FieldKind.NUMBER: "float64",
    FieldKind.BOOLEAN: "boolean",
    FieldKind.INSTANT: UTC,
    FieldKind.OBJECT: "object",
}

DTYPES = {field.name: OF_KIND[field.kind] for field in API_FIELDS} | {
    name: dtype for dtype, names in NAMES.items() for name in names.split()
}


def assert_dtypes(frame: pd.DataFrame) -> None:
    assert dict(frame.dtypes.astype(str)) == {name: DTYPES[name] for name in frame}


@contextlib.contextmanager
def synced(databases: Databases) -> Iterator[str]:
    """Sync a world three times while tasks are created, finish and are deleted; some results stay pending."""
    world = a_world(arrivals_per_hour=60)
    behaviour = Behaviour(extra_fields={"weight": {"kg": [1, 2.5, None], "näme": "ß"}})
    with databases.migrated() as url, serve(world, behaviour) as emulator:
        settings = settings_for(emulator, url, concurrency=1, max_results=90)
        for is_full in (False, False, True):
            run_sync(settings, SyncOptions(is_full=is_full))
            world.advance(dt.timedelta(hours=1))
            ended = sorted(task.task_id for task in world.tasks.values() if task.status == "SUCCESS")
            world.delete(ended[0])
            open_tasks = sorted(task.task_id for task in world.tasks.values() if task.status == "STARTED")
            world.retry(open_tasks[-1])
        yield url


@pytest.fixture(scope="module")
def sqlite_synced(sqlite_databases) -> Iterator[str]:
    with synced(sqlite_databases) as url:
        yield url


@pytest.fixture(scope="module")
def postgres_synced(postgres_databases) -> Iterator[str]:
    with synced(postgres_databases) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def synced_url(request) -> str:
    return request.getfixturevalue(f"{request.param}_synced")


@pytest.mark.parametrize("name", ALL)
def test_both_databases_return_the_same_frame(sqlite_synced, postgres_synced, name):
    here, there = read(name, sqlite_synced), read(name, postgres_synced)
    assert len(here) > 0
    assert (here.dtypes == there.dtypes).all()
    time_dependent = TIME_DEPENDENT.get(name, [])
    assert_frame_equal(here.drop(columns=time_dependent), there.drop(columns=time_dependent))


# The dtypes that replace the default ones.
BACKENDS = {
    "numpy_nullable": {"float64": "Float64"},
    "pyarrow": {
        "float64": "double[pyarrow]",
        "Int64": "int64[pyarrow]",
        "boolean": "bool[pyarrow]",
        "string": "string[pyarrow]",
        UTC: "timestamp[us, tz=UTC][pyarrow]",
    },
}


@one_in(2, "name, backend", ALL, BACKENDS)
def test_a_dtype_backend_changes_the_dtypes_and_not_the_values(synced_url, name, backend):
    plain = read(name, synced_url)
    frame = read(name, synced_url, dtype_backend=backend)
    for column, dtype in plain.dtypes.astype(str).items():
        expected = BACKENDS[backend].get(dtype, dtype)
        # pandas uses the same name for an Arrow column of text as for its own.
        assert str(frame[column].dtype) in {expected, expected.replace("string[pyarrow]", "string")}, column
        assert isinstance(frame[column].dtype, pd.ArrowDtype) == expected.endswith("[pyarrow]")
    time_dependent = TIME_DEPENDENT.get(name, [])
    back = frame.astype({column: plain[column].dtype for column in frame})
    assert_frame_equal(back.drop(columns=time_dependent), plain.drop(columns=time_dependent))
    parts = list(read(name, synced_url, dtype_backend=backend, chunksize=7))
    assert_frame_equal(pd.concat(parts).drop(columns=time_dependent), frame.drop(columns=time_dependent))


@pytest.mark.parametrize("backend", BACKENDS)
def test_with_a_dtype_backend_an_empty_frame_has_the_same_dtypes(engine, sqlite_synced, backend):
    for name in ALL:
        empty, full = (read(name, source, dtype_backend=backend) for source in (engine, sqlite_synced))
        is_plain = [not isinstance(dtype, pd.CategoricalDtype) for dtype in full.dtypes]
        assert (empty.dtypes[is_plain] == full.dtypes[is_plain]).all(), name


@pytest.mark.parametrize("backend", [None, *BACKENDS])
def test_durations_can_be_computed_with_missing_timestamps(engine, backend):
    with engine.begin() as connection:
        store_task(connection, "a", started_at=NOON, completed_at=after(5))
        store_task(connection, "b", started_at=NOON)
        store_task(connection, "c", completed_at=NOON)
        store_task(connection, "d")
    frame = frames.tasks(engine, columns=["started_at", "completed_at"], dtype_backend=backend)
    spans = frame["completed_at"] - frame["started_at"]
    assert spans.isna().tolist() == [False, True, True, True]
    assert spans[0] == dt.timedelta(seconds=5)


def test_an_unknown_or_missing_dtype_backend_is_refused_immediately(engine, monkeypatch):
    with pytest.raises(ValueError, match="'numpy_nullable' or 'pyarrow', or leave it out"):
        frames.tasks(engine, dtype_backend="polars", chunksize=5)
    monkeypatch.setattr("etl.frames.dtypes.importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ImportError, match=r"pip install 'gcore-ai-tasks-etl\[export\]'"):
        frames.tasks(engine, dtype_backend="pyarrow")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_frame_has_all_values_of_its_table(synced_url, name):
    table = METADATA.tables[TABLES.get(name, name)]
    engine = open_engine(synced_url, read_only=True)
    with engine.connect() as connection:
        rows = connection.execute(sa.select(table)).mappings().all()
    engine.dispose()
    frame = read(name, synced_url)
    key = [column.name for column in table.primary_key]
    expected = {tuple(row[each] for each in key): dict(row) for row in rows}
    plain = frame.astype(object).where(frame.notna(), None)
    found = {tuple(row[each] for each in key): row for row in plain.to_dict("records")}
    assert list(found) == sorted(expected)
    for each, row in expected.items():
        for internal in ("payload_hash", "detail", "detail_due_at"):
            row.pop(internal, None)
        assert found[each] == row


@pytest.mark.parametrize("name", ALL)
def test_every_column_has_the_expected_dtype(synced_url, name):
    assert_dtypes(read(name, synced_url))


def test_an_empty_frame_has_the_same_dtypes_and_is_one_chunk(migrated_url):
    for name in ALL:
        empty = read(name, migrated_url)
        # A database that was never synced has one row of freshness.
        assert len(empty) == (1 if name == "freshness" else 0)
        assert_dtypes(empty)
        (chunk,) = read(name, migrated_url, chunksize=10)
        assert_frame_equal(chunk, empty)


def test_a_frame_has_the_columns_of_its_view(engine):
    for name in views.NAMES:
        in_database = [column["name"] for column in sa.inspect(engine).get_columns(name)]
        assert list(frames.view(name, engine)) == in_database


def test_rows_are_sorted_by_code_point_with_nulls_last(engine):
    ids = ["b", "A", "a", "B", "_x", "é", "10", "9", "-"]
    with engine.begin() as connection:
        for each in ids:
            store_task(connection, each, task_name=None if each == "A" else each, date_created=NOON)
    sent: list[str] = []
    with listening(engine, "before_cursor_execute", sent.append):
        assert list(frames.tasks(engine)["task_id"]) == sorted(ids)
    # The server of the tests has the locale C, which sorts like that anyway.
    assert engine.dialect.name == "sqlite" or sent[-1].endswith('COLLATE "C" ASC NULLS LAST')
    names = list(frames.view("task_daily", engine)["task_name"])
    assert names[:-1] == sorted({*ids} - {"A"})
    assert pd.isna(names[-1])


@pytest.mark.parametrize("name", ALL)
def test_concatenated_chunks_equal_the_frame(synced_url, name):
    whole = read(name, synced_url)
    time_dependent = TIME_DEPENDENT.get(name, [])
    for size in (7, len(whole)):
        chunks = list(read(name, synced_url, chunksize=size))
        assert [len(chunk) for chunk in chunks[:-1]] == [size] * ((len(whole) - 1) // size)
        assert all((chunk.dtypes == whole.dtypes).all() for chunk in chunks)
        assert_frame_equal(pd.concat(chunks).drop(columns=time_dependent), whole.drop(columns=time_dependent))


def test_an_unknown_value_is_a_category_in_every_chunk(engine):
    with engine.begin() as connection:
        for number, status in enumerate(("SUCCESS", None, "PAUSED", "ARCHIVING")):
            store_task(connection, str(number), status=status)
        store_history(connection, "0", (0, "discovered", "HELD"))
    known = ["RECEIVED", "PENDING", "STARTED", "RETRY", "SUCCESS", "FAILURE", "REVOKED"]
    first, *_, last = frames.tasks(engine, chunksize=1, columns=["status"])
    assert list(first["status"].cat.categories) == [*known, "ARCHIVING", "PAUSED"]
    assert list(last["status"]) == ["ARCHIVING"]
    assert list(frames.tasks(engine)["status"].isna()) == [False, True, False, False]
    history = frames.task_history(engine)
    assert not (history["status"] == history["previous_status"]).any()
    assert list(frames.view("status_spans", engine)["status"]) == ["HELD"]


def test_extreme_values_are_unchanged(engine):
    first, last = dt.datetime(1, 1, 1, tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC)
    document = {"n": 2**63, "list": [[1, 2], [3, 4]], "text": 'ß\n"', "deep": {"a": {"b": [None, True]}}}
    with engine.begin() as connection:
        store_task(connection, "1", client_id=2**63 - 1, started_at=first, task_data=document, url="")
        store_task(connection, "2", client_id=None, started_at=last, task_data={}, url=None)
        store_task(connection, "3", client_id=-(2**63) + 1, started_at=after(1e-6), task_data=None)
        for number, result in enumerate((5, "text", [], False, [[1], [2]])):
            store_result(connection, str(number), "archived", result=result, detected=bool(number % 2))
    tasks = frames.tasks(engine)
    assert list(tasks["client_id"].dropna()) == [2**63 - 1, -(2**63) + 1]
    assert list(tasks["started_at"]) == [first, last, after(1e-6)]
    assert list(tasks["task_data"]) == [document, {}, None]
    assert list(tasks["url"].isna()) == [False, True, True]
    found = frames.results(engine)
    assert list(found["result"]) == [5, "text", [], False, [[1], [2]]]
    assert list(found["detected"]) == [False, True, False, True, False]
