"""
Common test cases for loaders: shapes of records, and shapes that change from one sync to the next.

The cases are those that a Singer target must handle; the records are our own.
"""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from support.worlds import NOW, query, settings_for

from etl.database import reading
from etl.emulator import Behaviour, World, serve
from etl.models import HISTORY, TASKS
from etl.sync.api import run_sync
from etl.sync.options import SyncOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.emulator import Emulator
    from etl.sync.summary import RunSummary

DATA_TABLES = ("tasks", "task_history", "task_results", "subtitles", "detections", "rejected_records")
# Not compared here: the bounds of the creation time, and a hash.
APART = {"created_after", "created_before", "payload_hash"}
FULL = SyncOptions(is_full=True, with_results=False)
ID = "00000000-0000-4000-8000-000000000001"
OTHER_ID = "00000000-0000-4000-8000-000000000002"

TEXTS = {
    "emoji": "🎬👩‍👩‍👧‍👦🏳️‍🌈",
    "scripts": "käse 客户上传 עברית العربية ไทย",
    "combining": "e\u0301 \u00e9",
    "quotes": "' \" ` '' \\' \\ \\\\ \\n %s %(a)s :name $1 ?",
    "sql": "'); DROP TABLE tasks; --",
    "markup": "<b>&amp;</b>",
    "blanks": " \t\r\n\u00a0\u2028\u2029 ",
    "empty": "",
    "null": "null",
    "number": "007",
}
ODD_KEYS = {
    **dict.fromkeys(("", " ", "a b", "a.b", "a-b", "$a", "@a", "a:b", "a/b", "a[0]", "1", "'", '"', "\\"), 1),
    **dict.fromkeys(("select", "null", "__proto__", "_sdc_batched_at", "k" * 1000, "line\nend"), 2),
    **dict.fromkeys(("🎬", "\u00e9", "e\u0301"), 3),
    # Names of our own columns.
    **dict.fromkeys(("extra", "raw", "url", "client_id", "first_seen_at", "removed_at", "payload_hash"), 3),
}
CAMEL_CASE = {
    "Status": "x",
    "STATUS": "y",
    "taskId": 1,
    "TaskData": {"Url": "u"},
    "processingTime": {"startedAt": 1},
}
ARRAYS = {
    "a": [],
    "b": [1, 2],
    "c": ["x", None, True, 1.5, {"d": []}],
    "d": [[1], [[2]], []],
    "e": [{}, {"f": {}}],
}
METADATA = {"client_user_id": "ü" * 256, "client_entity_data": json.dumps({"a": ["🎬"] * 300})}
NUMBERS = {
    "integers": [0, -1, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 10**30, -(10**100)],
    "floats": [0.1, 1e-10, 5e-324, 1.7976931348623157e308, 123456789.12345679, 1e22, 1e23, 1.5e16, 1.0],
}


def deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {"end": [1]}
    for level in range(levels):
        value = {f"level {level}": value, "list": [value]} if level < 3 else {f"level {level}": value}
    return value


# By kind: the record without its id, and the columns that are then not null.
SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no optional attributes": ({}, {}),
    "every attribute null": (
        dict.fromkeys(("status", "progress", "task_data", "processing_time", "task_name", "date_created")),
        {},
    ),
    "arrays": (ARRAYS, {"extra": ARRAYS}),
    "arrays in task_data": ({"task_data": ARRAYS}, {"task_data": ARRAYS}),
    "camel case": (CAMEL_CASE, {"extra": CAMEL_CASE}),
    "odd keys": (ODD_KEYS, {"extra": ODD_KEYS}),
    "odd keys in task_data": (
        {"task_data": {**ODD_KEYS, "url": "u"}},
        {"task_data": {**ODD_KEYS, "url": "u"}, "url": "u", "client_id": 3},
    ),
    "odd keys in processing_time": ({"processing_time": ODD_KEYS}, {"extra": {"processing_time": ODD_KEYS}}),
    "special characters": (TEXTS, {"extra": TEXTS}),
    "deep nesting": ({"w": deep(60)}, {"extra": {"w": deep(60)}}),
    "large numbers": (NUMBERS, {"extra": NUMBERS}),
    "booleans": ({"w": [True, False, 1, 0]}, {"extra": {"w": [True, False, 1, 0]}}),
    **{
        f"special characters, {name}": (
            {"status": text, "task_data": {"url": text, "client_entity_data": text}},
            {
                "status": text,
                "task_data": {"url": text, "client_entity_data": text},
                "url": text,
                "client_entity_data": text,
            },
        )
        for name, text in TEXTS.items()
    },
    "metadata as long as it may be": ({"task_data": METADATA}, {"task_data": METADATA, **METADATA}),
    "the older shape": (
        {"task_name": "content-moderation", "status": "SUCCESS", "task_data": {"category": "sport"}},
        {
            "task_name": "content-moderation",
            "status": "SUCCESS",
            "task_data": {"category": "sport"},
            "category": "sport",
        },
    ),
}
# The same in valid JSON that encoders rarely write.
ENCODED = {
    "escapes": (rb'"w":"\u0041\/\b\f\n\u00e9\ud83c\udfac"', {"w": "A/\b\f\né🎬"}),
    "escaped key": (rb'"\u0077\n":1', {"w\n": 1}),
    "nul": (rb'"w":"\u0000"', {"w": "\ufffd", "_originals": {"w": r'{"w":"\u0000"}'}}),
    "nul as a byte": (b'"w":"\x00"', {"w": "\ufffd", "_originals": {"w": r'{"w":"\u0000"}'}}),
    "white space": (b' \r\n\t"w" : [ 1 ,\n2 ] ', {"w": [1, 2]}),
    "numbers": (b'"w":[1E2,1e-2,-0,100000000000000000000.0]', {"w": [100, 0.01, 0, 10**20]}),
}


def an_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


IDS = {name: an_id(number) for number, name in enumerate((*SHAPES, *ENCODED))}


def a_record(task_id: str, **fields: Any) -> bytes:
    return json.dumps({"task_id": task_id, **fields}, ensure_ascii=False).encode()


def exact(value: Any) -> Any:
    """Return the value with exact numbers; Postgres returns a large double as an integer."""
    return json.loads(json.dumps(value, default=str), parse_int=Decimal, parse_float=Decimal)


def stored(url: str) -> dict[str, dict[str, Any]]:
    """Return every stored task with all compared columns."""
    columns = [column for column in TASKS.columns if column.name not in APART]
    with reading(url) as connection:
        rows = [dict(row) for row in connection.execute(sa.select(*columns)).mappings()]
    return {row["task_id"]: row for row in rows}


def a_row(task_id: str, *, first_seen_at: dt.datetime = NOW, **columns: Any) -> dict[str, Any]:
    """Return a row whose other columns are null, and which has not changed since it was first seen."""
    names = {column.name for column in TASKS.columns} - APART
    return {
        **dict.fromkeys(names),
        "task_id": task_id,
        "first_seen_at": first_seen_at,
        "changed_at": first_seen_at,
        "is_result_due": columns.get("status") in {"SUCCESS", "FAILURE"},
        **columns,
    }


def told(url: str, task_id: str) -> list[tuple]:
    """Return the history of a task."""
    names = ("event", "previous_status", "previous_progress", "status", "progress")
    found = sa.select(*(HISTORY.c[name] for name in names)).where(HISTORY.c.task_id == task_id)
    with reading(url) as connection:
        return [tuple(row) for row in connection.execute(found.order_by(HISTORY.c.history_id))]


def dump(url: str) -> dict[str, list]:
    return {table: sorted(query(url, f"SELECT * FROM {table}"), key=repr) for table in DATA_TABLES}


@dataclass
class Source:
    """A world of the records of one test, and the database that copies it."""

    emulator: Emulator
    url: str

    def show(self, task_id: str, **fields: Any) -> None:
        """Serve this record, in place of an earlier one with this id."""
        world = self.emulator.world
        raw = a_record(fields.pop("new_id", task_id), **fields)
        world.replace_raw(task_id, raw) if task_id in world.tasks else world.add_raw(task_id, raw)

    def sync(self) -> RunSummary:
        """Run a full sync, an hour after the last one."""
        self.emulator.world.advance(dt.timedelta(hours=1))
        return run_sync(settings_for(self.emulator, self.url), FULL)

    def check_settled(self) -> None:
        """Check that another sync of the unchanged source writes nothing."""
        before = dump(self.url)
        summary = self.sync()
        assert (summary.inserted, summary.updated, summary.removed) == (0, 0, 0)
        assert dump(self.url) == before


@pytest.fixture
def source(migrated_url: str) -> Iterator[Source]:
    with serve(World(now=NOW - dt.timedelta(hours=1))) as emulator:
        yield Source(emulator, migrated_url)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def shapes(request: pytest.FixtureRequest) -> Iterator[Source]:
    """Every shape in one list, read once."""
    databases = request.getfixturevalue(f"{request.param}_databases")
    world = World(now=NOW - dt.timedelta(hours=1))
    for name, (fields, _) in SHAPES.items():
        world.add_raw(IDS[name], a_record(IDS[name], **fields))
    for name, (text, _) in ENCODED.items():
        world.add_raw(IDS[name], b'{"task_id":"%s",%s}' % (IDS[name].encode(), text))
    with databases.migrated() as url, serve(world) as emulator:
        source = Source(emulator, url)
        source.sync()
        yield source


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_is_stored_completely(shapes, name):
    columns = SHAPES[name][1]
    assert exact(stored(shapes.url)[IDS[name]]) == exact(a_row(IDS[name], **columns))
    assert told(shapes.url, IDS[name]) == [("discovered", None, None, columns.get("status"), None)]


@pytest.mark.parametrize("name", ENCODED)
def test_unusual_json_encodings_are_decoded(shapes, name):
    assert exact(stored(shapes.url)[IDS[name]]) == exact(a_row(IDS[name], extra=ENCODED[name][1]))


def test_stored_shapes_are_not_written_again(shapes):
    assert stored(shapes.url).keys() == set(IDS.values())
    shapes.check_settled()


def test_large_number_is_exact_in_sql(shapes):
    path = "extra -> '$.floats' -> 3" if shapes.url.startswith("sqlite") else "extra -> 'floats' -> 3"
    found = query(shapes.url, f"SELECT {path} FROM tasks WHERE task_id = :id", id=IDS["large numbers"])
    assert float(found[0][0]) == 1.7976931348623157e308


def test_both_types_of_tasks_share_one_table(source):
    world = source.emulator.world
    made = {kind: world.create(kind=kind) for kind in ("transcription", "nsfw", "sport")}
    source.sync()
    for kind, task_id in made.items():
        data = world.tasks[task_id].task_data
        known = {name: value for name, value in data.items() if name in TASKS.columns}
        assert data.get("category", "transcription") == kind
        assert stored(source.url)[task_id] == a_row(
            task_id, status="RECEIVED", progress=0, task_data=data, **known
        )
    source.check_settled()


@pytest.mark.parametrize("duplicates", ["page", "across"])
def test_record_listed_twice_is_one_task(source, duplicates):
    source.emulator.behaviour = Behaviour(page_cap=3, duplicates=duplicates)
    for number in range(10):
        source.show(an_id(number), status="PENDING", progress=number)
    assert source.sync().inserted == 10
    assert stored(source.url) == {
        an_id(number): a_row(an_id(number), status="PENDING", progress=number) for number in range(10)
    }
    assert query(source.url, "SELECT event, count(*) FROM task_history GROUP BY event") == [
        ("discovered", 10)
    ]
    source.check_settled()


def test_last_of_two_records_with_the_same_id_wins(source):
    source.show(ID, status="STARTED", progress=10, w=1)
    source.show(OTHER_ID, new_id=ID, status="STARTED", progress=20)
    source.sync()
    assert stored(source.url) == {ID: a_row(ID, status="STARTED", progress=20)}
    assert told(source.url, ID) == [("discovered", None, None, "STARTED", 20)]
    source.check_settled()


def test_record_without_task_id_is_rejected_alone(source):
    source.show(ID, status="PENDING")
    source.emulator.world.add_raw(OTHER_ID, b'{"id":"x","status":"PENDING"}')
    assert source.sync().rejected == 1
    assert stored(source.url) == {ID: a_row(ID, status="PENDING")}
    rows = query(source.url, "SELECT reason, raw FROM rejected_records")
    assert rows == [("no task_id", '{"id":"x","status":"PENDING"}')]
    source.check_settled()


def test_new_fields_of_one_record_are_stored_and_removed_again(source):
    start = {"started_at": "2026-06-26T10:00:00Z"}
    started_at = NOW - dt.timedelta(hours=2)
    row = a_row(ID, status="STARTED", task_data={"url": "u"}, url="u", started_at=started_at)
    source.show(ID, status="STARTED", task_data={"url": "u"}, processing_time=start)
    source.sync()
    assert stored(source.url) == {ID: row}
    source.show(
        ID,
        status="STARTED",
        task_data={"url": "u", "fps": 25},
        processing_time={**start, "queue": ["a"]},
        shard={"level": 3},
    )
    assert source.sync().updated == 1
    grown = {
        "task_data": {"url": "u", "fps": 25},
        "extra": {"shard": {"level": 3}, "processing_time": {"queue": ["a"]}},
    }
    assert stored(source.url) == {ID: {**row, **grown, "changed_at": NOW + dt.timedelta(hours=1)}}
    source.show(ID, status="STARTED", task_data={"url": "u"}, processing_time=start)
    source.sync()
    assert stored(source.url) == {ID: {**row, "changed_at": NOW + dt.timedelta(hours=2)}}
    assert told(source.url, ID) == [("discovered", None, None, "STARTED", None)]
    source.check_settled()


def test_new_fields_of_all_records_are_stored_without_events(source):
    world, behaviour = source.emulator.world, source.emulator.behaviour
    for _ in range(5):
        world.create()
    source.sync()
    behaviour.extra_fields = {"region": "eu", "tags": [1, None]}
    behaviour.extra_processing_time = {"worker": "w1"}
    assert source.sync().updated == 5
    extra = {"region": "eu", "tags": [1, None], "processing_time": {"worker": "w1"}}
    assert [row["extra"] for row in stored(source.url).values()] == [extra] * 5
    assert query(source.url, "SELECT event, count(*) FROM task_history GROUP BY event") == [("discovered", 5)]
    source.check_settled()


def test_unknown_field_can_change_its_type_between_syncs(source):
    kinds = [1, True, "1", 1.5, None, [1], {"a": 1}, {"a": True}, {"a": "1"}, [], {}, 0, False]
    for hours in range(2):
        values = {an_id(number): kinds[(number + hours) % len(kinds)] for number in range(len(kinds))}
        for task_id, value in values.items():
            source.show(task_id, w=value, task_data={"w": value}, processing_time={"w": value})
        source.sync()
        for task_id, value in values.items():
            row = stored(source.url)[task_id]
            assert json.dumps(
                [row["extra"]["w"], row["extra"]["processing_time"]["w"], row["task_data"]]
            ) == (json.dumps([value, value, {"w": value}]))
            assert row["changed_at"] == NOW + dt.timedelta(hours=hours)
            assert told(source.url, task_id) == [("discovered", None, None, None, None)]
    source.check_settled()


def test_known_field_can_become_invalid_and_valid_again(source):
    sound = {
        "status": "STARTED",
        "progress": 50,
        "task_data": {"client_id": 5},
        "processing_time": {"total_time_sec": 1.5},
    }
    broken = {
        "status": {"name": "STARTED"},
        "progress": "half",
        "task_data": [5],
        "processing_time": {"total_time_sec": "long"},
    }
    row = a_row(
        ID, status="STARTED", progress=50, task_data={"client_id": 5}, client_id=5, total_time_sec=1.5
    )
    source.show(ID, **sound)
    source.sync()
    source.show(ID, **broken)
    source.sync()
    assert stored(source.url) == {ID: a_row(ID, extra=broken) | {"changed_at": NOW + dt.timedelta(hours=1)}}
    source.show(ID, **sound)
    source.sync()
    assert stored(source.url) == {ID: {**row, "changed_at": NOW + dt.timedelta(hours=2)}}
    assert told(source.url, ID) == [
        ("discovered", None, None, "STARTED", 50),
        ("changed", "STARTED", 50, None, None),
        ("changed", None, None, "STARTED", 50),
    ]
    source.check_settled()


def test_known_field_in_another_notation_is_unchanged(source):
    source.show(ID, progress=50, processing_time={"started_at": "2026-06-26T10:00:00Z", "total_time_sec": 2})
    source.sync()
    before = dump(source.url)
    times = {"started_at": "2026-06-26T12:00:00.000+02:00", "total_time_sec": "2.0"}
    source.show(ID, progress="50", processing_time=times, status=None)
    assert source.sync().unchanged == 1
    assert dump(source.url) == before
    source.check_settled()


def test_record_with_new_id_is_a_new_task_and_removes_the_old_one(source):
    source.show(ID, status="SUCCESS", progress=100)
    source.show(OTHER_ID, status="SUCCESS")
    source.sync()
    source.show(ID, new_id="New", status="SUCCESS", progress=100)
    summary = source.sync()
    assert (summary.inserted, summary.removed) == (1, 1)
    now = NOW + dt.timedelta(hours=1)
    gone = a_row(ID, status="SUCCESS", progress=100) | {"removed_at": now, "changed_at": now}
    new = a_row("New", first_seen_at=now, status="SUCCESS", progress=100)
    assert stored(source.url) == {ID: gone, "New": new, OTHER_ID: a_row(OTHER_ID, status="SUCCESS")}
    assert told(source.url, ID)[1:] == [("removed", "SUCCESS", 100, "SUCCESS", 100)]
    assert told(source.url, "New") == [("discovered", None, None, "SUCCESS", 100)]
    source.check_settled()


def test_ids_that_differ_in_case_or_blanks_are_different_tasks(source):
    ids = ["abc", "ABC", "abc ", " abc", "äbc", "a\u0308bc"]
    for number, task_id in enumerate(ids):
        source.show(an_id(number), new_id=task_id, status="SUCCESS", progress=number)
    source.sync()
    assert stored(source.url) == {
        task_id: a_row(task_id, status="SUCCESS", progress=number) for number, task_id in enumerate(ids)
    }
    source.check_settled()


def test_each_sync_adds_a_run_and_updates_the_single_state(source):
    source.show(ID, status="SUCCESS")
    for hours in range(3):
        source.sync()
        (state,) = query(source.url, "SELECT state_id, present_tasks FROM sync_state")
        assert state == (1, 1)
        (watermark,) = query(source.url, "SELECT watermark FROM sync_state")
        runs = query(source.url, "SELECT run_id, status, watermark_after FROM sync_runs ORDER BY run_id")
        assert [run[:2] for run in runs] == [(number + 1, "succeeded") for number in range(hours + 1)]
        assert [run[2] for run in runs] == sorted({run[2] for run in runs})
        assert runs[-1][2] == watermark[0]
