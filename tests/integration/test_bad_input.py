"""
Bad records in one list, one kind each: none affects its neighbours, and each is kept as received.

They stand between valid records, and one sync per database reads them all, including results.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from support.worlds import NOW, query, settings_for

from etl.database import reading
from etl.emulator import Behaviour, World, serve
from etl.extract.decode import decode_page
from etl.extract.payload import CONTENT
from etl.extract.result import parse_detail
from etl.models import TASKS
from etl.sync.api import run_sync
from etl.sync.options import SyncOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.sync.summary import RunSummary

    Case = tuple[str | bytes, dict[str, Any]]

DATA_TABLES = ("tasks", "task_history", "task_results", "subtitles", "detections", "rejected_records")
MEGABYTE = "x" * 1_000_000
DIGITS_20, DIGITS_400, DIGITS_5000 = ("9" * length for length in (20, 400, 5000))
ARABIC = "\u0665\u0660"
NONCHARACTERS = "\ufeff\u2028\ufffe\U0010ffff"


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def nested_list(depth: int) -> list:
    value: list = []
    for _ in range(depth - 1):
        value = [value]
    return value


def repaired(fields: dict[str, Any], *texts: str) -> dict[str, Any]:
    """Return these fields, with the original text of those that no database can store."""
    return {**fields, "_originals": {text.split('"')[1]: text for text in texts}}


# By kind: the members of the record besides its id, and the expected `extra`.
UNKNOWN_FIELDS: dict[str, Case] = {
    "nan": ('"w":NaN', {"w": "NaN"}),
    "infinity": ('"w":Infinity', {"w": "Infinity"}),
    "minus infinity": ('"w":[1,-Infinity]', {"w": [1, "-Infinity"]}),
    "too large for a double": ('"w":1e999', {"w": "1e999"}),
    "integer of 20 digits": (f'"w":{DIGITS_20}', {"w": int(DIGITS_20)}),
    "integer of 400 digits": (f'"w":-{DIGITS_400}', {"w": -int(DIGITS_400)}),
    "integer of 400 digits beside a nan": (f'"w":[{DIGITS_400},NaN]', {"w": [int(DIGITS_400), "NaN"]}),
    "the longest integer": (f'"w":-{"9" * 4300}', {"w": -int("9" * 4300)}),
    "the longest integer beside a nan": (f'"w":[-{"9" * 4300},NaN]', {"w": [-int("9" * 4300), "NaN"]}),
    "an integer too long": (f'"w":-{"9" * 4301}', {"w": f"-{'9' * 4301}"}),
    "integer of 5,000 digits": (f'"w":{DIGITS_5000}', {"w": DIGITS_5000}),
    "200 levels": (f'"w":{nested(200)}', {"w": nested_list(200)}),
    "300 levels": (f'"w":{nested(300)}', {"w": nested(300)}),
    "100,000 levels": (f'"w":{nested(100_000)}', {"w": nested(100_000)}),
    "a megabyte": (f'"w":"{MEGABYTE}"', {"w": MEGABYTE}),
    "nul": (r'"w":"a\u0000b"', repaired({"w": "a\ufffdb"}, r'{"w":"a\u0000b"}')),
    "nul as a byte": (b'"w":"a\x00b"', repaired({"w": "a\ufffdb"}, r'{"w":"a\u0000b"}')),
    "nul in a key": (r'"w\u0000":1', repaired({"w\ufffd": 1}, r'{"w\u0000":1}')),
    "nul in a key beside what it becomes": (
        '"w\ufffd":2,"w\\u0000":1',
        repaired({"w\ufffd": 2}, r'{"w\u0000":1}'),
    ),
    "nul and a surrogate in two keys": (
        r'"w\u0000":1,"w\ud800":2',
        repaired({"w\ufffd": 2}, r'{"w\u0000":1}', r'{"w\ud800":2}'),
    ),
    "nul deep inside": (
        r'"w":{"k\u0000":["\u0000"]}',
        repaired({"w": {"k\ufffd": ["\ufffd"]}}, r'{"w":{"k\u0000":["\u0000"]}}'),
    ),
    "nul beside originals that are none": (
        r'"w":"\u0000","_originals":1',
        {"w": "\ufffd", "_originals": 1, "__originals": {"w": r'{"w":"\u0000"}'}},
    ),
    "lone surrogate": (r'"w":"a\ud83cb"', repaired({"w": "a\ufffdb"}, r'{"w":"a\ud83cb"}')),
    "lone surrogate as bytes": (
        b'"w":"a\xed\xa0\xbcb"',
        repaired({"w": "a\ufffd\ufffd\ufffdb"}, r'{"w":"a\udced\udca0\udcbcb"}'),
    ),
    "bad utf-8 in a value": (b'"w":"a\xffb"', repaired({"w": "a\ufffdb"}, r'{"w":"a\udcffb"}')),
    "bad utf-8 in a key": (b'"w\xff":[1]', repaired({"w\ufffd": [1]}, r'{"w\udcff":[1]}')),
    "whole surrogates": (r'"w":"\ud83c\udfac"', {"w": "🎬"}),
    "an escaped escape": (r'"w":"\\u0000"', {"w": r"\u0000"}),
    "a bad escape": (r'"w":"a\qb"', {"w": r'"a\qb"'}),
    "control characters": (b'"w":"\x01\t\r\n\x1f\x7f"', {"w": "\x01\t\r\n\x1f\x7f"}),
    "control characters escaped": (r'"w":"\u0001\t\u009f"', {"w": "\x01\t\x9f"}),
    "unusual characters": (f'"w":"{NONCHARACTERS}"', {"w": NONCHARACTERS}),
    "a leading zero": ('"w":007', {"w": "007"}),
    "duplicate keys": ('"w":1,"w":{"a":1,"a":2}', {"w": {"a": 2}}),
    "duplicate keys beside a nan": ('"w":NaN,"w":{"a":1,"a":2},"v":NaN', {"w": {"a": 2}, "v": "NaN"}),
    "an empty key": ('"":1', {"": 1}),
    "null": ('"w":null', {"w": None}),
    "text for processing_time": ('"processing_time":"1s"', {"processing_time": "1s"}),
    "a list for processing_time": ('"processing_time":[1]', {"processing_time": [1]}),
    "text for task_data": ('"task_data":"u"', {"task_data": "u"}),
    "a list for task_data": ('"task_data":[{"url":"u"}]', {"task_data": [{"url": "u"}]}),
    "300 levels in task_data": (
        f'"task_data":{{"w":{nested(300)}}}',
        {"task_data": f'{{"w":{nested(300)}}}'},
    ),
}
# Invalid values for text, numbers and times: as written in the JSON, and as stored.
NO_TEXT = {"5": 5, "true": True, '["u"]': ["u"], '{"u":1}': {"u": 1}, "NaN": "NaN", DIGITS_5000: DIGITS_5000}
NO_NUMBER = {
    "true": True,
    "[1]": [1],
    **{text: text for text in ("NaN", "-Infinity", "1e999", DIGITS_5000)},
    **{f'"{text}"': text for text in ("", "many", "1_0", ARABIC, "NaN", "1e999", "0x10")},
    DIGITS_400: int(DIGITS_400),
}
NO_INTEGER = {**NO_NUMBER, "50.5": 50.5, '"50.5"': "50.5", f"-{DIGITS_20}": -int(DIGITS_20)}
NO_TIME = {
    "5": 5,
    "1782490000.5": 1782490000.5,
    "true": True,
    "{}": {},
    "NaN": "NaN",
    **{
        f'"{text}"': text
        for text in (
            *("", "yesterday", " 2026-06-26T16:26:29Z", f"20{ARABIC}-06-26T16:26:29Z"),
            *("2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-06-26T25:00:00Z"),
            *("2026-06-26T16:26:29+25:00", "0000-00-00T00:00:00Z", "10000-01-01T00:00:00Z"),
            *("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "1970-01-01T00:00:00Z"),
            *("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-14:00"),
        )
    },
}
SENSELESS: dict[str, Case] = {
    f"{name} {text[:30]} of {len(text)}": (f'"{name}":{text}', {name: kept})
    for name, values in (
        ("status", NO_TEXT),
        ("task_name", NO_TEXT),
        ("progress", {**NO_INTEGER, str(2**31): 2**31}),
        ("date_created", NO_TIME),
    )
    for text, kept in values.items()
}
SENSELESS_TIMES: dict[str, Case] = {
    f"{name} {text[:30]} of {len(text)}": (
        f'"processing_time":{{"{name}":{text}}}',
        {"processing_time": {name: kept}},
    )
    for name, values in (("started_at", NO_TIME), ("completed_at", NO_TIME), ("total_time_sec", NO_NUMBER))
    for text, kept in values.items()
}
SENSELESS_DATA: dict[str, Case] = {
    f"{name} {text[:30]} of {len(text)}": (f'"task_data":{{"{name}":{text}}}', {name: kept})
    for name, values in (("url", NO_TEXT), ("client_id", {**NO_INTEGER, str(2**63): 2**63}))
    for text, kept in values.items()
}

# Unusual but valid values: the members of the record, and the columns that are then not null.
UNUSUAL: dict[str, Case] = {
    "status null": ('"status":null', {"status": None}),
    "status empty": ('"status":""', {"status": ""}),
    "status very long": (f'"status":"{MEGABYTE}"', {"status": MEGABYTE}),
    "status twice": ('"status":"FAILURE","status":"REVOKED"', {"status": "REVOKED"}),
    "progress text": ('"progress":"50"', {"progress": 50}),
    "progress 50.0": ('"progress":50.0', {"progress": 50}),
    "progress negative": ('"progress":-5', {"progress": -5}),
    "progress large": (f'"progress":{2**31 - 1}', {"progress": 2**31 - 1}),
    "seconds text": ('"processing_time":{"total_time_sec":" 62.901"}', {"total_time_sec": 62.901}),
    "seconds negative": ('"processing_time":{"total_time_sec":-1}', {"total_time_sec": -1.0}),
    "client text": (
        f'"task_data":{{"client_id":"{2**53 + 1}"}}',
        {"task_data": {"client_id": str(2**53 + 1)}, "client_id": 2**53 + 1},
    ),
    "client large": (
        f'"task_data":{{"client_id":{2**63 - 1}}}',
        {"task_data": {"client_id": 2**63 - 1}, "client_id": 2**63 - 1},
    ),
    "task_data null": ('"task_data":null', {}),
    "task_data empty": ('"task_data":{}', {"task_data": {}}),
    "task_data with nulls": ('"task_data":{"url":null,"w":null}', {"task_data": {"url": None, "w": None}}),
    "task_data with keys twice": ('"task_data":{"url":1,"url":"b"}', {"task_data": {"url": "b"}, "url": "b"}),
    "processing_time null": ('"processing_time":null', {}),
    "processing_time empty": ('"processing_time":{}', {}),
    "url a megabyte": (
        f'"task_data":{{"url":"{MEGABYTE}"}}',
        {"task_data": {"url": MEGABYTE}, "url": MEGABYTE},
    ),
    "url with nul": (
        r'"task_data":{"url":"a\u0000b"}',
        {
            "task_data": {"url": "a\ufffdb"},
            "url": "a\ufffdb",
            "extra": repaired({}, r'{"task_data":{"url":"a\u0000b"}}'),
        },
    ),
    "two names": (
        '"task_name":"a","task_data":{"task_name":"b"}',
        {"task_data": {"task_name": "b"}, "task_name": "a"},
    ),
    "an empty name": ('"task_name":""', {"task_name": ""}),
    "a senseless name and a good one": (
        '"task_name":5,"task_data":{"task_name":"transcription"}',
        {
            "task_data": {"task_name": "transcription"},
            "task_name": "transcription",
            "extra": {"task_name": 5},
        },
    ),
    "two creation times": (
        '"created_at":"2026-06-02T00:00:00Z","created":"?","date_created":"2026-06-01T00:00:00Z"',
        {
            "date_created": dt.datetime(2026, 6, 1, tzinfo=dt.UTC),
            "extra": {"created_at": "2026-06-02T00:00:00Z", "created": "?"},
        },
    ),
    "a senseless creation time and a good one": (
        '"date_created":5,"created":"2026-06-02T00:00:00Z"',
        {"date_created": dt.datetime(2026, 6, 2, tzinfo=dt.UTC), "extra": {"date_created": 5}},
    ),
}

CASES: dict[str, Case] = {
    **{name: (said, {"extra": extra}) for name, (said, extra) in (UNKNOWN_FIELDS | SENSELESS).items()},
    **{name: (said, {"extra": extra}) for name, (said, extra) in SENSELESS_TIMES.items()},
    **{
        name: (said, {"task_data": fields, "extra": {"task_data": fields}})
        for name, (said, fields) in SENSELESS_DATA.items()
    },
    **UNUSUAL,
}

USABLE_IDS = (
    "a/b",
    "../x",
    "t\u00e4sk-🎬",
    "x" * 255,
    " a b ",
    "a?b=c&d#e%2F",
    "'; DROP TABLE tasks",
    "5",
    "null",
)
# The whole record, why it is rejected, and how its text is stored if it differs.
UNPRINTABLE = "task_id is not printable text that can stand in a URL"
REJECTS: dict[bytes, tuple[str, str | None]] = {
    **dict.fromkeys((b"null", b"5", b'"x"', b'[{"task_id":"x"}]'), ("not an object", None)),
    b"NaN": ("not a JSON object: expected { at the start", None),
    **dict.fromkeys((b"{}", b'{"status" : "SUCCESS"}', b'{"task_id":null}'), ("no task_id", None)),
    **dict.fromkeys((b'{"task_id":""}', rb'{"task_id":"a\q"}'), ("no task_id", None)),
    **{
        b'{"task_id":%s}' % value: ("task_id is not text", None)
        for value in (b"7", b"7.5", b"true", b'["a"]', b'{"a":1}', b"NaN", b"1e999", DIGITS_5000.encode())
    },
    b'{"task_id":"%s"}' % (b"x" * 256): ("task_id is longer than 255 characters", None),
    **{
        b'{"task_id":"%s"}' % text: (UNPRINTABLE, None)
        for text in (b"  ", b"..", rb"a\u0000", rb"a\n", b"a\n", rb"\u001b[31m", rb"a\ud800", rb"a\u202eb")
    },
    b'{"task_id":"a\x00"}': (UNPRINTABLE, r'{"task_id":"a\x00"}'),
    b'{"task_id":"a\xff"}': (UNPRINTABLE, r'{"task_id":"a\xff"}'),
    b'{"task_id":"a\xed\xa0\x80"}': (UNPRINTABLE, r'{"task_id":"a\xed\xa0\x80"}'),
}
# Not JSON at all: the page must be read in smaller pieces.
SPOILERS: dict[bytes, str] = {
    b'\xef\xbb\xbf{"task_id":"a"}': '\ufeff{"task_id":"a"}',
    b"\x00\xff": r"\x00\xff",
    **{
        text.encode(): text
        for text in (
            "{'task_id':'a'}",
            '{"task_id":"a",}',
            '{"task_id":"a}',
            '{"task_id":"a"}]',
            '{"task_id":"a"} {"task_id":"b"}',
        )
    },
}


@dataclass(frozen=True)
class Loaded:
    """The outcome of two full syncs of one source, and the columns of each task after the first."""

    url: str
    world: World
    first: RunSummary
    second: RunSummary
    tasks: dict[str, dict[str, Any]]
    dumps: tuple[dict[str, list], dict[str, list]]


def an_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


# Odd numbers are the neighbours'.
IDS = {name: an_id(2 * number) for number, name in enumerate(CASES)}


def a_bad_world() -> World:
    """Return a world in which each bad record stands between valid ones."""
    records = []
    for name, (said, columns) in CASES.items():
        members = said if isinstance(said, bytes) else said.encode()
        is_given = "status" in columns or "status" in columns.get("extra", {})
        status = b"" if is_given else b'"status":"SUCCESS",'
        records.append(b'{"task_id":"%s",%s%s}' % (IDS[name].encode(), status, members))
    records += [b'{"task_id":"%s","status":"SUCCESS"}' % task_id.encode() for task_id in USABLE_IDS]
    return a_world_with([*records, *REJECTS, b"null"])


def a_world_with(records: list[bytes]) -> World:
    world = World(now=NOW)
    for number, raw in enumerate(records):
        world.add_raw(an_id(2 * number), raw)
        world.finish(world.create(task_id=an_id(2 * number + 1)))
    return world


def read_tasks(url: str) -> dict[str, dict[str, Any]]:
    """Return the columns of each task that come from the API and are not null."""
    columns = [TASKS.c.task_id, *(TASKS.c[name] for name in CONTENT)]
    with reading(url) as connection:
        rows = [dict(row) for row in connection.execute(sa.select(*columns)).mappings()]
    return {
        row.pop("task_id"): {name: value for name, value in row.items() if value is not None} for row in rows
    }


def dump(url: str) -> dict[str, list]:
    return {table: sorted(query(url, f"SELECT * FROM {table}"), key=repr) for table in DATA_TABLES}


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def loaded(request: pytest.FixtureRequest) -> Iterator[Loaded]:
    databases = request.getfixturevalue(f"{request.param}_databases")
    world = a_bad_world()
    with databases.migrated() as url, serve(world, Behaviour(page_cap=100)) as emulator:
        settings = settings_for(emulator, url)
        first = run_sync(settings, SyncOptions(is_full=True))
        before, tasks = dump(url), read_tasks(url)
        # Later writes have a different timestamp.
        world.advance(dt.timedelta(minutes=1))
        second = run_sync(settings, SyncOptions(is_full=True))
        yield Loaded(url, world, first, second, tasks, (before, dump(url)))


@pytest.mark.parametrize("name", CASES)
def test_unusual_field_is_stored_as_expected(loaded, name):
    row, (_, columns) = loaded.tasks[IDS[name]], CASES[name]
    if "status" not in columns.get("extra", {}):
        columns = {"status": "SUCCESS", **columns}
    assert row == {name: value for name, value in columns.items() if value is not None}


@pytest.mark.parametrize("task_id", USABLE_IDS)
def test_unusual_task_id_is_accepted(loaded, task_id):
    assert loaded.tasks[task_id] == {"status": "SUCCESS"}


@pytest.mark.parametrize("raw", REJECTS)
def test_record_without_usable_id_is_rejected_with_text_and_reason(loaded, raw):
    reason, kept = REJECTS[raw]
    found = "SELECT run_id, reason FROM rejected_records WHERE raw = :raw"
    assert query(loaded.url, found, raw=kept or raw.decode()) == [(1, reason)]


def test_only_unusable_records_are_rejected_and_only_once(loaded):
    assert query(loaded.url, "SELECT count(*) FROM rejected_records") == [(len(REJECTS),)]
    assert (loaded.first.rejected, loaded.second.rejected) == (len(REJECTS), len(REJECTS))


def test_neighbouring_records_are_intact(loaded):
    neighbours = [task for task in loaded.world.tasks.values() if task.raw is None]
    assert len(neighbours) == len(CASES) + len(USABLE_IDS) + len(REJECTS) + 1
    for task in neighbours:
        known = {name: value for name, value in task.task_data.items() if name in CONTENT}
        assert loaded.tasks[task.task_id] == {
            **known,
            "task_data": task.task_data,
            "status": "SUCCESS",
            "progress": 100,
            "started_at": task.started_at,
            "completed_at": task.completed_at,
            "total_time_sec": task.total_time_sec,
        }


def test_every_usable_record_is_discovered_once(loaded):
    tasks = len(loaded.world.tasks) - len(REJECTS) - 1
    assert loaded.first.inserted == len(loaded.tasks) == tasks
    events = "SELECT event, count(*), count(DISTINCT task_id) FROM task_history GROUP BY event"
    assert query(loaded.url, events) == [("discovered", tasks, tasks)]


def test_second_full_sync_writes_nothing(loaded):
    before, after = loaded.dumps
    assert after == before
    summary = loaded.second
    assert (summary.inserted, summary.updated, summary.removed) == (0, 0, 0)
    assert summary.unchanged >= len(loaded.tasks)


def test_original_text_can_be_queried_in_sql(loaded):
    is_sqlite = loaded.url.startswith("sqlite")
    original = "extra ->> '$._originals.w'" if is_sqlite else "extra -> '_originals' ->> 'w'"
    rows = query(loaded.url, f"SELECT {original} FROM tasks WHERE task_id = :id", id=IDS["nul"])
    assert rows == [(r'{"w":"a\u0000b"}',)]


def test_records_with_invalid_json_are_rejected_alone(migrated_url):
    world = a_world_with([b"null", *SPOILERS])
    with serve(world, Behaviour(page_cap=100)) as emulator:
        for _ in range(2):
            summary = run_sync(settings_for(emulator, migrated_url), SyncOptions(is_full=True))
            found = query(migrated_url, "SELECT raw, substr(reason, 1, 9), run_id FROM rejected_records")
            spoilt = [(raw, "not JSON:", 1) for raw in SPOILERS.values()]
            assert sorted(found) == sorted([("null", "not an ob", 1), *spoilt])
            assert read_tasks(migrated_url).keys() == {
                task.task_id for task in world.tasks.values() if task.raw is None
            }
            assert summary.rejected == len(SPOILERS) + 1
    assert (summary.inserted, summary.updated) == (0, 0)


def test_byte_order_mark_is_ignored():
    mark, task = b"\xef\xbb\xbf", b'{"task_id":"a","result":{"error":"e"}}'
    page = decode_page(mark + b'{"count":1,"next":null,"results":[%s]}' % task)
    assert ([record.task_id for record in page.records], page.count) == (["a"], 1)
    assert parse_detail(mark + task).error == "e"
