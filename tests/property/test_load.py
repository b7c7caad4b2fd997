"""Loading: batching does not change the rows, the history is consistent, and nothing is lost."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl.extract.decode import decode_task
from etl.extract.lenient import ORIGINALS
from etl.load.removals import mark_removed
from etl.load.task_rows import Observation
from etl.load.upsert import differs, upsert_tasks
from etl.models import HISTORY, TASKS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.extract.payload import Task

NOON = dt.datetime(2026, 6, 26, 12, tzinfo=dt.UTC)
SIGHTING = Observation(run_id=1, observed_at=NOON)
FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
COLUMNS = {
    **{
        name: name
        for name in ("status", "progress", "task_name", "started_at", "completed_at", "total_time_sec")
    },
    "created_at": "date_created",
}
# These depend on all observations, not only on the last; the hash depends on the first equal one.
PATHS = {"created_after", "created_before", "payload_hash"}


@dataclass(frozen=True)
class Removal:
    """The source has stated that this task is gone."""

    task_id: str


def to_payload(task_id: str, fields: dict[str, Any]) -> Task:
    return decode_task(json.dumps({"task_id": task_id, **fields}).encode())


task_ids = st.sampled_from(["a", "b", "c"])
states = st.fixed_dictionaries(
    {"status": st.sampled_from([None, "PENDING", "STARTED", "SUCCESS"])},
    optional={
        "progress": st.sampled_from([0, 50, 100]),
        "w": st.sampled_from([None, True, 1, 1.5, "1", 1e23]),
        "task_data": st.sampled_from([{}, {"url": "u"}, {"url": 1}]),
        "processing_time": st.sampled_from([{}, {"started_at": "2026-06-26T11:00:00Z"}, {"queue": 1}]),
    },
)


def with_times_at_the_end(fields: dict[str, Any]) -> dict[str, Any]:
    """Add its times to every record of a finished task, because times that a record omits are kept."""
    if fields["status"] != "SUCCESS":
        return fields
    return {**fields, "processing_time": {"started_at": "2026-06-26T11:00:00Z"}}


sightings = st.builds(to_payload, task_ids, states.map(with_times_at_the_end))
events = st.lists(sightings | st.builds(Removal, task_ids), max_size=12)


def batches(happened: list, cuts: list[bool]) -> Iterator[list]:
    """Split events into batches; observed tasks and removals are never in the same batch."""
    batch: list = []
    for event, is_cut in zip(happened, cuts, strict=True):
        if batch and (is_cut or type(batch[-1]) is not type(event)):
            yield batch
            batch = []
        batch.append(event)
    if batch:
        yield batch


def load(connection: sa.Connection, parts: Iterator[list]) -> None:
    for part in parts:
        if isinstance(part[0], Removal):
            mark_removed(connection, [removal.task_id for removal in part], SIGHTING)
        else:
            upsert_tasks(connection, part, SIGHTING)


def read(connection: sa.Connection, table: sa.Table, order: str) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(sa.select(table).order_by(order)).mappings()]


def loaded(engine: sa.Engine, happened: list, cuts: list[bool]) -> tuple[list[dict], list[dict]]:
    """Return the tasks and the history after loading, and roll back."""
    with engine.connect() as connection:
        transaction = connection.begin()
        load(connection, batches(happened, cuts))
        found = read(connection, TASKS, "task_id"), read(connection, HISTORY, "history_id")
        transaction.rollback()
    return found


def unlike(row: dict[str, Any]) -> dict[str, Any]:
    """Return the columns that batching must not change, with JSON as text, because `true` is not 1."""
    return {
        name: json.dumps(value, sort_keys=True) if isinstance(value, dict) else value
        for name, value in row.items()
        if name not in PATHS
    }


def check_present(tasks: list[dict], happened: list) -> None:
    """Each task has its last observed state, and is marked as removed only if it was removed afterwards."""
    seen = {event.task_id: event for event in happened if not isinstance(event, Removal)}
    latest = {event.task_id: event for event in happened}
    assert [task["task_id"] for task in tasks] == sorted(seen)
    for task in tasks:
        assert not differs(seen[task["task_id"]].as_dict(), task)
        assert (task["removed_at"] is not None) == isinstance(latest[task["task_id"]], Removal)


def check_history(tasks: list[dict], history: list[dict]) -> None:
    """Each event follows from its predecessor, and the last one matches the current state."""
    by_task = defaultdict(list)
    for event in history:
        by_task[event["task_id"]].append(event)
    assert by_task.keys() == {task["task_id"] for task in tasks}
    for task in tasks:
        told = by_task[task["task_id"]]
        assert (told[0]["event"], told[0]["previous_status"], told[0]["previous_progress"]) == (
            "discovered",
            None,
            None,
        )
        for before, event in itertools.pairwise(told):
            known = (before["status"], before["progress"])
            assert (event["previous_status"], event["previous_progress"]) == known
            follows = {"reappeared"} if before["event"] == "removed" else {"changed", "removed"}
            assert event["event"] in follows
            if event["event"] != "reappeared":
                assert ((event["status"], event["progress"]) == known) == (event["event"] == "removed")
        assert (told[-1]["status"], told[-1]["progress"]) == (task["status"], task["progress"])
        assert (told[-1]["event"] == "removed") == (task["removed_at"] is not None)


@FEW
@given(data=st.data(), happened=events)
def test_batching_does_not_change_tasks_or_break_history(engine, data, happened):
    cuts = data.draw(st.lists(st.booleans(), min_size=len(happened), max_size=len(happened)))
    one_by_one = loaded(engine, happened, [True] * len(happened))
    in_batches = loaded(engine, happened, cuts)
    assert [unlike(task) for task in in_batches[0]] == [unlike(task) for task in one_by_one[0]]
    for tasks, history in (one_by_one, in_batches):
        check_present(tasks, happened)
        check_history(tasks, history)
    assert len(in_batches[1]) <= len(one_by_one[1])


@FEW
@given(happened=events)
def test_reloading_current_state_writes_nothing(engine, happened):
    with engine.connect() as connection:
        transaction = connection.begin()
        load(connection, batches(happened, [True] * len(happened)))
        latest = {event.task_id: event for event in happened}
        present = [event for event in latest.values() if not isinstance(event, Removal)]
        before = read(connection, TASKS, "task_id"), read(connection, HISTORY, "history_id")
        later = Observation(run_id=2, observed_at=NOON + dt.timedelta(hours=1))
        assert upsert_tasks(connection, present, later).unchanged == len(present)
        assert (read(connection, TASKS, "task_id"), read(connection, HISTORY, "history_id")) == before
        transaction.rollback()


texts = st.text(st.characters(), max_size=6)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
times = values | st.datetimes(timezones=st.just(dt.UTC)).map(lambda at: at.isoformat())
counts = values | st.integers(0, 100) | st.integers(0, 100).map(str)
task_data = st.dictionaries(st.sampled_from(("url", "client_id", "task_name")) | texts, counts, max_size=4)
processing_time = st.fixed_dictionaries(
    {},
    optional={"started_at": times, "completed_at": times, "total_time_sec": counts, "w": values, "": values},
)
known_fields = st.fixed_dictionaries(
    {},
    optional={
        "status": texts | values,
        "progress": counts,
        "task_name": texts | values,
        "created_at": times,
        "task_data": task_data | values,
        "processing_time": processing_time | values,
    },
)
unknown_fields = st.dictionaries(texts, values, max_size=3)


def exact(value: Any) -> Any:
    """Return a value as parsed from its JSON, with exact numbers."""
    return json.loads(json.dumps(value), parse_int=Decimal, parse_float=Decimal)


def read_back(name: str, value: Any, row: dict[str, Any], extra: dict[str, Any]) -> Any:
    """Return the stored value of a member of a record, as it was sent if its column has an equal value."""
    originals = extra.get(ORIGINALS, {})
    if (kept := originals.get(json.dumps(name)[1:-1])) is not None:
        return json.loads(kept)[name]
    if name == "task_data" and isinstance(value, dict):
        return row["task_data"]
    if name == "processing_time" and isinstance(value, dict):
        return {key: read_back(key, inner, row, extra.get(name, {})) for key, inner in value.items()}
    column = row.get(COLUMNS.get(name, ""))
    if name in extra or column is None or value is None:
        return extra.get(name)
    is_same = (
        dt.datetime.fromisoformat(value) == column if name.endswith("_at") else type(column)(value) == column
    )
    return value if is_same else column


@FEW
@given(known=known_fields, unknown=unknown_fields)
def test_every_member_of_a_record_can_be_read_back(engine, known, unknown):
    record = {**unknown, **known}
    payload = to_payload("t", record)
    with engine.connect() as connection:
        transaction = connection.begin()
        upsert_tasks(connection, [payload], SIGHTING)
        (row,) = read(connection, TASKS, "task_id")
        transaction.rollback()
    assert not differs(payload.as_dict(), row)
    for name, value in record.items():
        assert exact(read_back(name, value, row, row["extra"] or {})) == exact(value)
