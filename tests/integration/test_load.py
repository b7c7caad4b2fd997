"""Loading through a connection: what is written, what is left unchanged, and the resulting history."""

from __future__ import annotations

import datetime as dt
import json
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from etl.extract.decode import decode_task
from etl.extract.payload import TaskPayload, task_payload
from etl.extract.result import parse_detail
from etl.load.due_results import due_results
from etl.load.removals import SeenTasks, mark_removed
from etl.load.results import FetchedResult, store_results
from etl.load.task_rows import Observation
from etl.load.upsert import UpsertCounts, are_stored, upsert_tasks
from etl.models import HISTORY, RESULTS, SUBTITLES, TASKS
from etl.sync.api import writing

if TYPE_CHECKING:
    from collections.abc import Iterator

NOON = dt.datetime(2026, 6, 26, 12, tzinfo=dt.UTC)
LATER = NOON + dt.timedelta(hours=1)
STATUSES = (None, "", "RECEIVED", "PENDING", "STARTED", "RETRY", "SUCCESS", "FAILURE", "REVOKED", "PAUSED")


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection inside one transaction."""
    with engine.begin() as connection:
        yield connection


def a_task(task_id: str = "t", **fields: Any) -> TaskPayload:
    return decode_task(json.dumps({"task_id": task_id, **fields}).encode())


def seen(at: dt.datetime = NOON, run_id: int = 1, **options: Any) -> Observation:
    return Observation(run_id=run_id, observed_at=at, **options)


def load(
    connection: sa.Connection, *payloads: TaskPayload, at: dt.datetime = NOON, **options: Any
) -> UpsertCounts:
    return upsert_tasks(connection, payloads, seen(at, **options))


def stored(connection: sa.Connection, task_id: str = "t") -> sa.RowMapping:
    return connection.execute(sa.select(TASKS).where(TASKS.c.task_id == task_id)).mappings().one()


def history(connection: sa.Connection, task_id: str = "t") -> list[tuple]:
    """Return the events of a task: what happened, the state before and the state then."""
    columns = ("event", "previous_status", "previous_progress", "status", "progress")
    query = sa.select(*(HISTORY.c[name] for name in columns)).where(HISTORY.c.task_id == task_id)
    return [tuple(row) for row in connection.execute(query.order_by(HISTORY.c.history_id))]


def rows_written(connection: sa.Connection) -> int:
    """Count the rows inserted, updated and deleted by this connection so far, in whichever table."""
    if connection.dialect.name == "sqlite":
        return connection.connection.driver_connection.total_changes
    statement = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_xact_user_tables"
    return connection.scalar(sa.text(statement)) or 0


def test_empty_batch_executes_no_statements(connection):
    asked = []
    sa.event.listen(connection, "before_cursor_execute", lambda *call: asked.append(call[2]))
    assert load(connection) == UpsertCounts()
    assert asked == []
    load(connection, a_task())
    assert asked


def test_only_changed_rows_are_written(connection):
    tasks = {f"t{number}": {"status": "STARTED", "progress": number} for number in range(50)}
    load(connection, *(a_task(task_id, **fields) for task_id, fields in tasks.items()))
    before = rows_written(connection)
    again = load(connection, *(a_task(task_id, **fields) for task_id, fields in tasks.items()), at=LATER)
    assert again == UpsertCounts(unchanged=50)
    assert rows_written(connection) == before
    tasks["t7"] = {"status": "SUCCESS", "progress": 100}
    tasks["t8"]["task_data"] = {"url": "u"}
    tasks["new"] = {"status": "PENDING"}
    counts = load(connection, *(a_task(task_id, **fields) for task_id, fields in tasks.items()), at=LATER)
    assert counts == UpsertCounts(inserted=1, updated=2, unchanged=48)
    # Three tasks, and the events of two: a new url is no event.
    assert rows_written(connection) - before == 5
    changed = connection.scalars(sa.select(TASKS.c.task_id).where(TASKS.c.changed_at == LATER))
    assert set(changed) == {"t7", "t8", "new"}


def test_equivalent_json_is_not_written_again(connection):
    first = (
        b'{"task_id":"t","status":"STARTED","progress":50,"w":[1e23,1152921504606846976.0,true],'
        b'"task_data":{"url":"k\xc3\xa4se","client_id":5}}'
    )
    second = (
        b'{ "task_data": {"client_id":5, "url":"k\\u00e4se"}, "w": [1E+23,1152921504606846976.0,true], '
        b'"progress": "50", "status": "STARTED", "task_id": "t" }'
    )
    load(connection, decode_task(first))
    before = rows_written(connection)
    assert load(connection, decode_task(second), at=LATER) == UpsertCounts(unchanged=1)
    assert rows_written(connection) == before


@pytest.mark.parametrize("removed", [None, NOON])
def test_value_moves_from_extra_into_newly_added_column(connection, removed):
    """An older release stored the same record, with another payload hash."""
    record = a_task(status="PENDING", task_data={"category": "sport"}, other=1)
    load(connection, record)
    older = {"payload_hash": b"0" * 16, "category": None, "extra": {"other": 1, "category": "sport"}}
    connection.execute(sa.update(TASKS).values(removed_at=removed, **older))
    assert load(connection, record, at=LATER).updated == 1
    row = stored(connection)
    assert (row["category"], row["extra"]) == ("sport", {"other": 1})
    assert load(connection, record, at=LATER).updated == 0


def test_type_change_of_a_value_is_an_update(connection):
    pairs = [(True, 1), (0, False), (1, "1"), ({}, []), (None, {}), ([None], []), (1, 1.5)]
    for version, at in ((0, NOON), (1, LATER)):
        values = {f"t{number}": pair[version] for number, pair in enumerate(pairs)}
        load(
            connection,
            *(a_task(key, w=value, task_data={"w": value}) for key, value in values.items()),
            at=at,
        )
        for task_id, value in values.items():
            row = stored(connection, task_id)
            assert [json.dumps(row[name]["w"]) for name in ("extra", "task_data")] == [json.dumps(value)] * 2
            assert row["changed_at"] == at
            assert [event for event, *_ in history(connection, task_id)] == ["discovered"]


@pytest.mark.parametrize("name", ["unknown", "task_data"])
@pytest.mark.parametrize("values", [(1, True), (0, False), (1, 1.0), ([1], [True])])
def test_json_values_that_are_equal_only_in_python_are_kept_apart(connection, name, values):
    """All rows of a batch have one value, as far as Python's `==` can tell."""
    tasks = [a_task(str(number), **{name: {"new": value}}) for number, value in enumerate(values)]
    load(connection, *tasks)
    column = TASKS.c.task_data if name == "task_data" else TASKS.c.extra
    stored = connection.scalars(sa.select(column).order_by(TASKS.c.task_id)).all()
    expected = [{"new": value} if name == "task_data" else {name: {"new": value}} for value in values]
    assert json.dumps(stored) == json.dumps(expected)


def test_only_status_and_progress_changes_cause_events(connection):
    pairs = {f"{before!r} {after!r}": (before, after) for before in STATUSES for after in STATUSES}
    load(connection, *(a_task(key, status=before, progress=10) for key, (before, _) in pairs.items()))
    load(connection, *(a_task(key, status=after, progress=10, w=1) for key, (_, after) in pairs.items()))
    load(connection, *(a_task(key, status=after, progress=None, w=1) for key, (_, after) in pairs.items()))
    for task_id, (before, after) in pairs.items():
        moved = [("changed", before, 10, after, 10)] if after != before else []
        assert history(connection, task_id) == [
            ("discovered", None, None, before, 10),
            *moved,
            ("changed", after, 10, after, None),
        ]
        row = stored(connection, task_id)
        assert (row["status"], row["progress"], row["extra"]) == (after, None, {"w": 1})


def test_event_records_its_run_and_time(connection):
    load(connection, a_task(status="PENDING"), run_id=1)
    load(connection, a_task(status="STARTED"), run_id=2, at=LATER)
    rows = connection.execute(sa.select(HISTORY.c.run_id, HISTORY.c.observed_at).order_by(HISTORY.c.run_id))
    assert [tuple(row) for row in rows] == [(1, NOON), (2, LATER)]
    row = stored(connection)
    assert (row["first_seen_at"], row["changed_at"], row["removed_at"]) == (NOON, LATER, None)


def test_last_record_of_a_task_in_a_batch_wins(connection):
    load(connection, a_task(status="PENDING"))
    states = (("STARTED", 10), ("PENDING", 10), ("STARTED", 80))
    sightings = [a_task(status=status, progress=progress) for status, progress in states]
    assert load(connection, *sightings, a_task("other"), at=LATER) == UpsertCounts(inserted=1, updated=1)
    assert history(connection)[1:] == [("changed", "PENDING", None, "STARTED", 80)]
    back_again = (a_task(status="SUCCESS"), a_task(status="STARTED", progress=80))
    before = rows_written(connection)
    assert load(connection, *back_again, at=LATER) == UpsertCounts(unchanged=1)
    assert rows_written(connection) == before


def test_large_batch_separates_new_and_known_tasks(connection):
    def batch(first: int, progress: int) -> list[TaskPayload]:
        numbers = range(first, first + 10_000)
        return [
            task_payload(f"{number:06d}", {"progress": progress}, payload_hash=b"%d" % progress)
            for number in numbers
        ]

    assert load(connection, *batch(0, 1)) == UpsertCounts(inserted=10_000)
    before = rows_written(connection)
    assert load(connection, *batch(5000, 1), at=LATER) == UpsertCounts(inserted=5000, unchanged=5000)
    assert rows_written(connection) - before == 2 * 5000
    assert load(connection, *batch(2500, 2), at=LATER) == UpsertCounts(updated=10_000)
    kinds = connection.execute(sa.select(HISTORY.c.event, sa.func.count()).group_by("event"))
    assert dict(kinds.all()) == {"discovered": 15_000, "changed": 10_000}
    states = connection.execute(sa.select(TASKS.c.progress, sa.func.count()).group_by("progress"))
    assert dict(states.all()) == {1: 5000, 2: 10_000}


def test_sqlite_variable_limit_is_respected(sqlite_databases):
    with sqlite_databases.migrated() as url, writing(url) as connection, connection.begin():
        connection.connection.driver_connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)
        tasks = [a_task(f"{number:04d}") for number in range(1234)]
        assert load(connection, *tasks).inserted == 1234
        assert connection.scalar(sa.select(sa.func.count()).select_from(HISTORY)) == 1234


def test_dry_run_counts_like_a_real_load_and_writes_nothing(connection):
    load(connection, a_task("known", status="PENDING"), a_task("gone"), a_task("same"))
    mark_removed(connection, ["gone"], seen())
    batch = [a_task("known", status="STARTED"), a_task("gone"), a_task("same"), a_task("new")]
    before = rows_written(connection)
    dry = load(connection, *batch, dry_run=True)
    assert dry == UpsertCounts(inserted=1, updated=2, unchanged=1, reappeared=1)
    assert rows_written(connection) == before
    assert load(connection, *batch) == dry


def test_empty_batch_writes_nothing(connection):
    before = rows_written(connection)
    assert load(connection) == UpsertCounts()
    mark_removed(connection, iter(()), seen())
    assert rows_written(connection) == before


def test_caller_owns_the_transaction(engine):
    with engine.connect() as connection:
        transaction = connection.begin()
        load(connection, a_task())
        mark_removed(connection, ["t"], seen())
        transaction.rollback()
        assert connection.scalar(sa.select(sa.func.count()).select_from(TASKS)) == 0
        assert connection.scalar(sa.select(sa.func.count()).select_from(HISTORY)) == 0


def test_removed_task_is_marked_and_keeps_last_state(connection):
    load(connection, a_task(status="STARTED", progress=30), a_task("other", status="STARTED"))
    kept = dict(stored(connection))
    mark_removed(connection, ["t", "never seen"], seen(LATER, run_id=2))
    assert dict(stored(connection)) == {**kept, "removed_at": LATER, "changed_at": LATER}
    assert history(connection)[1:] == [("removed", "STARTED", 30, "STARTED", 30)]
    assert stored(connection, "other")["removed_at"] is None
    before = rows_written(connection)
    mark_removed(connection, ["t"], seen(LATER + dt.timedelta(hours=1), run_id=3))
    assert rows_written(connection) == before


@pytest.mark.parametrize("status", ["STARTED", "SUCCESS"])
def test_reappeared_task_is_recorded_even_if_unchanged(connection, status):
    load(connection, a_task(status="STARTED", progress=30))
    mark_removed(connection, ["t"], seen(LATER))
    counts = load(connection, a_task(status=status, progress=30), at=LATER + dt.timedelta(hours=1))
    assert counts == UpsertCounts(updated=1, reappeared=1)
    row = stored(connection)
    assert (row["removed_at"], row["first_seen_at"]) == (None, NOON)
    assert row["changed_at"] == LATER + dt.timedelta(hours=1)
    assert history(connection)[2:] == [("reappeared", "STARTED", 30, status, 30)]


def test_are_stored_requires_present_and_identical_tasks(connection):
    task = a_task(status="PENDING")
    assert not are_stored(connection, [task])
    load(connection, task, a_task("other"))
    assert are_stored(connection, [task, a_task("other")])
    assert not are_stored(connection, [task, a_task("new")])
    assert not are_stored(connection, [a_task(status="STARTED")])
    mark_removed(connection, ["t"], seen())
    assert not are_stored(connection, [task])
    assert are_stored(connection, [])


def test_result_is_due_from_final_status_until_requested(connection):
    def load_all(*, is_back: bool = False, **fields: Any) -> dict[str, bool]:
        statuses = {repr(status): "STARTED" if is_back else status for status in STATUSES}
        load(connection, *(a_task(key, status=status, **fields) for key, status in statuses.items()))
        return {
            row[0]: row[1] for row in connection.execute(sa.select(TASKS.c.task_id, TASKS.c.is_result_due))
        }

    finished = {repr(status): status in {"SUCCESS", "FAILURE"} for status in STATUSES}
    assert load_all() == finished
    connection.execute(sa.update(TASKS).values(is_result_due=False))
    assert not any(load_all(progress=1).values())
    assert not any(load_all(is_back=True).values())
    assert load_all() == finished


def test_creation_time_bounds_never_widen(connection):
    second = dt.timedelta(seconds=1)
    listed_after = NOON - dt.timedelta(hours=3)
    started = NOON - dt.timedelta(hours=1)
    load(connection, a_task(status="PENDING"), created_after=listed_after)
    assert stored(connection)["created_after"] == listed_after
    times = {"started_at": started.isoformat()}
    load(connection, a_task(status="STARTED", processing_time=times), at=LATER)
    load(connection, a_task(status="SUCCESS"), at=LATER)
    row = stored(connection)
    assert (row["created_after"], row["created_before"]) == (listed_after, started + second)


def test_result_of_another_task_is_not_stored_for_requested_one(connection):
    load(connection, *(a_task(task_id, status="SUCCESS") for task_id in ("t", "other")))
    detail = {"task_id": "other", "status": "SUCCESS", "result": {"subtitles": [{"text": "a"}]}}
    found = parse_detail(json.dumps(detail).encode())
    answers = [FetchedResult(due=due, found=found) for due in due_results(connection, NOON, 10)]
    assert store_results(connection, answers, NOON).archived == 1
    states = connection.execute(sa.select(RESULTS.c.task_id, RESULTS.c.state).order_by(RESULTS.c.task_id))
    assert [tuple(row) for row in states] == [("other", "archived"), ("t", "unavailable")]
    assert connection.scalars(sa.select(SUBTITLES.c.task_id)).all() == ["other"]


@pytest.mark.parametrize("is_start_known_first", [True, False])
def test_created_after_contradicting_the_start_is_discarded(connection, is_start_known_first):
    started = {"processing_time": {"started_at": NOON.isoformat()}}
    load(connection, a_task(**(started if is_start_known_first else {})), created_after=LATER, at=LATER)
    load(connection, a_task(**started, progress=1), created_after=LATER, at=LATER)
    row = stored(connection)
    assert (row["created_after"], row["created_before"]) == (None, NOON + dt.timedelta(seconds=1))


def test_unusual_ids_match_only_their_own_row(connection):
    ids = ["a'b", 'a"b\\', "%", "_", "käse-🎬", "5", "05", "null", "x" * 255, "x" * 254, " a ", "a", "A"]
    load(connection, *(a_task(task_id, url=task_id) for task_id in ids))
    before = rows_written(connection)
    assert load(connection, *(a_task(task_id, url=task_id) for task_id in ids)) == UpsertCounts(
        unchanged=len(ids)
    )
    assert rows_written(connection) == before
    for number, task_id in enumerate(ids, start=1):
        mark_removed(connection, [task_id], seen(LATER))
        assert stored(connection, task_id)["removed_at"] == LATER
        present = sa.select(sa.func.count()).select_from(TASKS).where(TASKS.c.removed_at.is_(None))
        assert connection.scalar(present) == len(ids) - number


def test_tasks_not_seen_by_a_complete_scan_are_missing(connection):
    load(connection, *(a_task(task_id, status="SUCCESS") for task_id in "abcd"))
    mark_removed(connection, ["d"], seen())
    read = SeenTasks(connection)
    assert read.count_missing() == 3
    read.add(["a", "a"])
    read.add(["a", "never stored"])
    read.add([])
    assert read.count_missing() == 2
    read.mark_missing(seen(LATER, run_id=2))
    assert read.count_missing() == 0
    gone = connection.execute(sa.select(TASKS.c.task_id, TASKS.c.removed_at).order_by("task_id"))
    assert [tuple(row) for row in gone] == [("a", None), ("b", LATER), ("c", LATER), ("d", NOON)]
    assert history(connection, "b")[1:] == [("removed", "SUCCESS", None, "SUCCESS", None)]
    assert len(history(connection, "a")) == 1
    assert len(history(connection, "d")) == 2


def test_tasks_loaded_into_empty_database_count_as_seen(connection):
    read = SeenTasks(connection, began_empty=True)
    load(connection, a_task("a", status="STARTED"), a_task("b"))
    read.add(["a"])
    assert (read.count_missing(), read.unseen_in_flight(10)) == (0, [])


def test_unseen_in_flight_tasks_are_returned_in_id_order(connection):
    tasks = {f"{number:03d}": STATUSES[number % len(STATUSES)] for number in range(100)}
    load(connection, *(a_task(task_id, status=status) for task_id, status in reversed(tasks.items())))
    load(connection, a_task("gone", status="STARTED"))
    mark_removed(connection, ["gone"], seen())
    read = SeenTasks(connection)
    read.add(f"{number:03d}" for number in range(20))
    unfinished = [
        task_id
        for task_id, status in tasks.items()
        if status not in {"SUCCESS", "FAILURE", "REVOKED"} and task_id >= "020"
    ]
    found: list[str] = []
    while batch := read.unseen_in_flight(9, found[-1] if found else ""):
        assert len(batch) <= 9
        found += batch
    assert found == unfinished


def test_seen_tasks_are_forgotten_by_the_next_run(connection):
    load(connection, a_task())
    SeenTasks(connection).add(["t"])
    assert SeenTasks(connection).count_missing() == 1
