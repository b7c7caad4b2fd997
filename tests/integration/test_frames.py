"""`etl.frames`: the same frames from both databases, with the documented dtypes and ranges."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import pathlib
import re
import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from pandas.testing import assert_frame_equal
from support.stored import NOON, after, store_history, store_result, store_task
from support.worlds import a_world, settings_for

from etl import frames, views
from etl.database import open_engine
from etl.emulator import Behaviour, serve
from etl.errors import ConfigurationError, NoTablesError
from etl.models import API_FIELDS, DETECTIONS, METADATA, RUNS, SUBTITLES, TASKS, FieldKind
from etl.sync.api import run_sync, writing
from etl.sync.options import SyncOptions
from etl.views.definitions import VIEWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.databases import Databases

FUNCTIONS = ("tasks", "task_history", "results", "subtitles", "detections", "runs")
TABLES = {"results": "task_results", "runs": "sync_runs"}
# Columns that depend on the current time or on the clock of this machine.
TIME_DEPENDENT = {
    "runs": ["started_at", "finished_at"],
    "in_flight": ["age_seconds", "unchanged_seconds"],
    "results_expiring": ["days_left"],
    "stalls": ["age_seconds", "unchanged_seconds"],
    "freshness": ["synced_at", "age_seconds"],
}
ALL = [*FUNCTIONS, *views.NAMES]
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


def read(name: str, *arguments, **options):
    """Call the function of this name, or `view` with it."""
    function = getattr(frames, name, functools.partial(frames.view, name))
    return function(*arguments, **options)


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


@contextlib.contextmanager
def listening(engine: sa.Engine | type[sa.Engine], event: str, note: Callable[[str], None]) -> Iterator[None]:
    """Call `note` with each statement that an engine, or any engine, executes."""

    def listen(_connection, _cursor, statement, *_) -> None:
        note(" ".join(statement.split()))

    sa.event.listen(engine, event, listen)
    yield
    sa.event.remove(engine, event, listen)


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


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ALL)
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
def test_with_a_dtype_backend_an_empty_frame_has_the_same_dtypes(engine, synced_url, backend):
    for name in ALL:
        empty, full = (read(name, source, dtype_backend=backend) for source in (engine, synced_url))
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


def test_frames_from_one_connection_are_one_snapshot(migrated_url, engine):
    reader = open_engine(migrated_url, read_only=True)
    with reader.connect() as connection:
        before = frames.tasks(connection)
        with engine.begin() as other:
            store_task(other, "came later")
        assert_frame_equal(frames.tasks(connection), before)
        assert list(frames.view("task_timeline", connection)["task_id"]) == []
        parts = pd.concat(frames.tasks(connection, chunksize=1))
        assert_frame_equal(parts, before)
        assert not connection.closed
        connection.rollback()
        assert list(frames.tasks(connection)["task_id"]) == ["came later"]
    reader.dispose()


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


def store_one_of_each(connection: sa.Connection, task_id: str, seconds: float) -> None:
    """Store rows in every table whose time is this instant."""
    moment, long_before = after(seconds), after(-1e6)
    begun = {"started_at": moment, "date_created": moment, "first_seen_at": long_before}
    ended = {"completed_at": moment, "changed_at": long_before}
    store_task(connection, task_id, status="FAILURE", **begun, **ended)
    store_task(connection, f"{task_id} waits", first_seen_at=moment, date_created=moment)
    store_task(connection, f"{task_id} has no end", status="FAILURE", **begun, changed_at=moment)
    store_history(connection, task_id, (seconds, "discovered", "FAILURE"))
    connection.execute(sa.insert(RUNS).values(started_at=moment, mode="full", status="succeeded"))
    for each in (task_id, f"{task_id} has no end"):
        store_result(connection, each, "unavailable")
        connection.execute(sa.insert(SUBTITLES).values(task_id=each, position=0))
        connection.execute(sa.insert(DETECTIONS).values(task_id=each, position=0))


# The number of rows for one instant.
TIMED = {
    **dict.fromkeys(("task_history", "runs", "status_spans", "in_flight", "results_expiring"), 1),
    **dict.fromkeys(("results", "subtitles", "detections", "failures", "video_lengths"), 2),
    **dict.fromkeys(("tasks", "task_timeline"), 3),
}
MICROSECOND = 1e-6


@pytest.mark.parametrize("name, rows", TIMED.items())
def test_a_range_includes_its_start_and_excludes_its_end(engine, name, rows):
    with engine.begin() as connection:
        for number, seconds in enumerate((-MICROSECOND, 0, 10 - MICROSECOND, 10), start=1):
            store_one_of_each(connection, str(number), seconds)

    def moments(**bounds: dt.datetime) -> list[str]:
        frame = read(name, engine, **bounds)
        return sorted(str(value).split()[0] for value in frame["run_id" if name == "runs" else "task_id"])

    assert moments(since=NOON, until=after(10)) == ["2"] * rows + ["3"] * rows
    assert moments(since=NOON) == ["2"] * rows + ["3"] * rows + ["4"] * rows
    assert moments(until=NOON) == ["1"] * rows
    assert moments(since=NOON, until=NOON) == []


def test_a_day_is_in_the_range_that_contains_its_start(engine):
    with engine.begin() as connection:
        for day in (24, 25, 26, 27):
            store_task(connection, str(day), date_created=dt.datetime(2026, 6, day, 18, tzinfo=dt.UTC))

    def days(**bounds: str) -> list[int]:
        return list(frames.view("task_daily", engine, **bounds)["day"].dt.day)

    assert days(since="2026-06-25", until="2026-06-27") == [25, 26]
    assert days(since="2026-06-25T00:00:01", until="2026-06-27T00:00:01") == [26, 27]
    assert days(until="9999-12-31T23:59") == [24, 25, 26, 27]


@pytest.mark.parametrize(
    "written, hour",
    [
        (NOON, 12),
        (NOON.replace(tzinfo=None), 12),
        (NOON.astimezone(dt.timezone(dt.timedelta(hours=14))), 12),
        ("2026-06-26T12:00:00Z", 12),
        ("2026-06-26 12:00", 12),
        ("20260626T083000-0330", 12),
        (pd.Timestamp("2026-06-26T21:00", tz="Asia/Tokyo"), 12),
        (pd.Timestamp("2026-06-26T11:59:59.999999001"), 12),
        (np.datetime64("2026-06-26T12"), 12),
        (dt.date(2026, 6, 26), 0),
        ("2026-06-26", 0),
    ],
    ids=str,
)
def test_since_and_until_accept_many_types_and_formats(engine, written, hour):
    seconds = (hour - 12) * 3600
    with engine.begin() as connection:
        store_task(connection, "before", started_at=after(seconds - MICROSECOND))
        store_task(connection, "then", started_at=after(seconds))
    assert list(frames.tasks(engine, since=written)["task_id"]) == ["then"]
    assert list(frames.tasks(engine, until=written)["task_id"]) == ["before"]


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"columns": ["status", "state"]},
            r"^tasks has no column 'state': choose from task_id, task_name, status, ",
        ),
        ({"columns": ["payload_hash"]}, "no column 'payload_hash'"),
        ({"columns": "status"}, r"write columns=\['status'\]"),
        ({"columns": []}, "at least one column"),
        ({"columns": ["status", "status"]}, "none twice"),
        ({"since": "yesterday"}, "^since='yesterday' is not a date or time"),
        ({"until": 20260626}, "^until=20260626 is not a date or time"),
        ({"since": pd.NaT}, "^since=NaT is not a date or time"),
        (
            {"since": "2026-06-27", "until": "2026-06-26"},
            "^until=2026-06-26 is before since=2026-06-27",
        ),
        ({"chunksize": 0}, "^chunksize=0 is not a number of rows: write an integer from 1 to 2,147,483,647"),
        ({"chunksize": 1.5}, "^chunksize=1.5 is not a number of rows"),
        ({"chunksize": "a"}, "^chunksize='a' is not a number of rows"),
        ({"chunksize": 2**31}, "^chunksize=2147483648 is not a number of rows"),
        ({"columns": [["status"]]}, r"^columns=\[\['status'\]\] must be a list of names"),
        ({"columns": 5}, "^columns=5 must be a list of names"),
        ({"chunksize": True}, "^chunksize=True is not a number of rows"),
        ({"dtype_backend": []}, r"^dtype_backend=\[\] is unknown"),
    ],
)
def test_invalid_arguments_are_refused_immediately(options, message):
    no_database = "sqlite:////nowhere/at/all.db"
    with pytest.raises(ValueError, match=message):
        frames.tasks(no_database, **{"chunksize": 5, **options})
    if "chunksize" not in options:
        with pytest.raises(ValueError, match=message):
            frames.tasks(no_database, **options)


def test_freshness_is_in_the_range_of_the_last_sync_that_succeeded(engine):
    assert len(frames.view("freshness", engine)) == 1
    assert len(frames.view("freshness", engine, since="2026-01-01")) == 0
    with engine.begin() as connection:
        for seconds, status in ((0, "succeeded"), (60, "failed")):
            run = {"started_at": after(seconds), "mode": "incremental", "status": status}
            connection.execute(sa.insert(RUNS).values(run))
    assert len(frames.view("freshness", engine, since=NOON)) == 1
    assert len(frames.view("freshness", engine, since=after(1))) == 0


def test_a_view_that_does_not_exist_or_has_no_time_is_refused(migrated_url):
    with pytest.raises(ValueError, match="no view 'tasks': choose from task_timeline, task_daily, "):
        frames.view("tasks", migrated_url)
    instead = {name: view.unaggregated for name, view in VIEWS.items() if view.unaggregated}
    assert instead.keys() == {"task_durations", "task_waits", "status_transitions"}
    for name, other in instead.items():
        with pytest.raises(ValueError, match=f"{name} has no time column .* filter {other} instead"):
            frames.view(name, migrated_url, since="2026-06-26")


def test_only_the_requested_columns_are_read_in_the_requested_order(engine):
    for name in ALL:
        asked = list(read(name, engine))[:0:-2]
        sent: list[str] = []
        with listening(engine, "before_cursor_execute", sent.append):
            assert list(read(name, engine, columns=asked)) == asked
        selected = sent[-1].replace('"', "").split(" FROM ")[0].removeprefix("SELECT ")
        assert re.findall(r" AS (\w+)(?:,|$)", selected) == asked


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


def test_memory_holds_only_one_chunk(engine):
    row = {"first_seen_at": NOON, "changed_at": NOON, "url": "x" * 20_000}
    with engine.begin() as connection:
        connection.execute(sa.insert(TASKS), [{"task_id": f"{number:05}", **row} for number in range(2000)])
    sizes = []
    tracemalloc.start()
    for chunk in frames.tasks(engine, chunksize=50):
        sizes.append(len(chunk))
        if len(sizes) == 2 and engine.dialect.name == "postgresql":
            # tracemalloc does not count memory of libpq: the server must not have sent more than this chunk.
            mine = "datname = current_database() AND state = 'idle in transaction'"
            with engine.connect() as connection:
                last = connection.scalars(sa.text(f"SELECT query FROM pg_stat_activity WHERE {mine}")).one()
            assert last.startswith("FETCH FORWARD 50 ")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sizes == [50] * 40
    assert peak < 10_000_000


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
        store_task(connection, "3", client_id=-(2**63) + 1, started_at=after(MICROSECOND), task_data=None)
        for number, result in enumerate((5, "text", [], False, [[1], [2]])):
            store_result(connection, str(number), "archived", result=result, detected=bool(number % 2))
    tasks = frames.tasks(engine)
    assert list(tasks["client_id"].dropna()) == [2**63 - 1, -(2**63) + 1]
    assert list(tasks["started_at"]) == [first, last, after(MICROSECOND)]
    assert list(tasks["task_data"]) == [document, {}, None]
    assert list(tasks["url"].isna()) == [False, True, True]
    found = frames.results(engine)
    assert list(found["result"]) == [5, "text", [], False, [[1], [2]]]
    assert list(found["detected"]) == [False, True, False, True, False]


def test_without_a_source_the_database_setting_is_used(engine, migrated_url, monkeypatch):
    with engine.begin() as connection:
        store_task(connection, "here")
    monkeypatch.setenv("GCORE_ETL_DATABASE_URL", migrated_url)
    assert list(frames.tasks()["task_id"]) == list(frames.view("task_timeline")["task_id"]) == ["here"]


@pytest.fixture(params=["URL", "engine", "plain engine"])
def source(request, migrated_url) -> Iterator[str | sa.Engine]:
    """Yield the same database as a URL, as our engine and as a plain engine."""
    if request.param == "URL":
        yield migrated_url
        return
    plain_url = migrated_url.replace("postgresql:", "postgresql+psycopg:")
    engine = open_engine(migrated_url) if request.param == "engine" else sa.create_engine(plain_url)
    yield engine
    engine.dispose()


def test_reading_does_not_block_a_sync_or_wait_for_one(source, migrated_url):
    with writing(migrated_url) as connection:
        for task_id in ("1", "2"):
            store_task(connection, task_id)
        connection.commit()
        store_task(connection, "3")
        chunks = frames.tasks(source, chunksize=1)
        found = [next(chunks)]
        connection.commit()
        found += chunks
        assert list(pd.concat(found)["task_id"]) == ["1", "2"]
    assert len(frames.tasks(source)) == 3


def test_a_frame_excludes_rows_committed_while_it_is_read(source, migrated_url):
    engine = open_engine(migrated_url)
    ids = iter(["new"])

    def commit(statement: str) -> None:
        if statement.startswith("SELECT DISTINCT"):
            for task_id in ids:
                with engine.begin() as connection:
                    store_task(connection, task_id, status="PAUSED")

    with listening(sa.Engine, "after_cursor_execute", commit):
        assert len(frames.tasks(source)) == 0
    engine.dispose()
    assert list(frames.tasks(source)["status"]) == ["PAUSED"]


def test_an_abandoned_iterator_releases_its_connection(engine):
    for task_id in ("1", "2", "3"):
        with engine.begin() as connection:
            store_task(connection, task_id)
        chunks = frames.tasks(engine, chunksize=1)
        next(chunks)
        assert engine.pool.checkedout() == 1
        chunks.close()
        assert engine.pool.checkedout() == 0


def test_frames_only_send_statements_that_read(engine):
    sent: list[str] = []
    with listening(engine, "before_cursor_execute", sent.append):
        for name in ALL:
            read(name, engine)
    assert {statement.split()[0] for statement in sent} <= {"SELECT", "PRAGMA", "BEGIN"}


def test_an_unreadable_source_raises_a_helpful_error(database_url):
    engine = open_engine(database_url)
    for empty in (database_url, engine):
        with pytest.raises(NoTablesError, match="gcore-etl"):
            next(frames.tasks(empty, chunksize=5))
    engine.dispose()
    with pytest.raises(ConfigurationError, match="the database URL is malformed") as error:
        frames.tasks("user:secret@host")
    assert "secret" not in str(error.value)
    with pytest.raises(TypeError, match="neither a database URL nor a SQLAlchemy engine"):
        frames.tasks(pathlib.Path("gcore_tasks.db"))
