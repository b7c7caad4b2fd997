"""What comes in at the door: both shapes, strange types, and records that are no records."""

from __future__ import annotations

import datetime as dt
import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.errors import RecordError, UnreadablePage
from etl.extract.decode import decode_page, decode_task
from etl.extract.lenient import ORIGINALS
from etl.extract.lenient_json import split_array, split_object
from etl.extract.payload import CorruptPage, UnusableRecord

ID = "aafe70c6-0000-0000-0000-327b65f7670f"


def parse(**fields: object) -> SimpleNamespace:
    """Return what is read, by the names of the columns."""
    task = decode_task(json.dumps({"task_id": ID, **fields}).encode())
    return SimpleNamespace(task_id=task.task_id, **task.as_dict())


def a_page(*records: bytes, **fields: object) -> bytes:
    head = json.dumps({"count": len(records), "next": None, **fields})[:-1]
    return head.encode() + b', "results": [' + b", ".join(records) + b"]}"


def test_the_present_shape_is_read():
    task = parse(
        status="SUCCESS",
        progress=100,
        task_data={"task_name": "content-moderation", "category": "sport", "client_id": 2675, "url": "u"},
        processing_time={
            "started_at": "2026-06-26T16:26:29.25Z",
            "completed_at": None,
            "total_time_sec": 3.71,
        },
    )
    assert (task.task_name, task.category, task.client_id) == ("content-moderation", "sport", 2675)
    assert task.started_at == dt.datetime(2026, 6, 26, 16, 26, 29, 250_000, tzinfo=dt.UTC)
    assert (task.completed_at, task.total_time_sec, task.extra) == (None, 3.71, None)


def test_the_older_shape_is_read():
    task = parse(task_name="transcription", status="PENDING", task_data={"audio_language": "eng"})
    assert (task.task_name, task.audio_language, task.started_at) == ("transcription", "eng", None)


def test_unknown_fields_are_kept_inside_processing_time_too():
    task = parse(shard=3, processing_time={"queue": "a", "started_at": None})
    assert task.extra == {"shard": 3, "processing_time": {"queue": "a"}}


@pytest.mark.parametrize(
    "field, value",
    [("status", 5), ("progress", "many"), ("progress", True), ("progress", 2**40), ("task_data", "x")],
)
def test_a_senseless_field_is_null_and_its_value_in_extra(field, value):
    task = parse(**{field: value})
    assert getattr(task, field) is None
    assert task.extra == {field: value}


@pytest.mark.parametrize("value", ["yesterday", 5, "2026-13-01", "0001-01-01T00:00:00+14:00", ""])
def test_a_senseless_time_is_null_and_its_value_in_extra(value):
    task = parse(processing_time={"started_at": value})
    assert task.started_at is None
    assert task.extra == {"processing_time": {"started_at": value}}


def test_a_time_without_a_zone_is_in_utc_and_one_with_is_converted():
    times = {"started_at": "2026-06-26T16:00:00", "completed_at": "2026-06-26T16:00:00+02:00"}
    task = parse(processing_time=times)
    assert task.started_at == dt.datetime(2026, 6, 26, 16, tzinfo=dt.UTC)
    assert task.completed_at == dt.datetime(2026, 6, 26, 14, tzinfo=dt.UTC)


@pytest.mark.parametrize("task_id", [None, "", "  ", 7, ["a"], "a\x00b", "a\nb", "..", "x" * 256])
def test_a_record_without_a_usable_id_is_refused(task_id):
    with pytest.raises(RecordError, match="task_id"):
        parse(task_id=task_id)


def test_what_no_database_takes_is_replaced_and_its_original_kept():
    task = decode_task(b'{"task_id":"a","task_data":{"url":"x\\u0000y\\ud800"}}')
    assert task.as_dict()["url"] == "x\ufffdy\ufffd"
    assert task.as_dict()["extra"] == {ORIGINALS: {"task_data": '{"task_data":{"url":"x\\u0000y\\ud800"}}'}}


def test_so_it_is_in_a_page_whose_other_records_are_plain():
    first, second = decode_page(
        a_page(b'{"task_id":"a","status":"x\\u0000"}', b'{"task_id":"b","status":"y"}')
    ).tasks
    assert first.as_dict()["status"] == "x\ufffd"
    assert second.as_dict()["status"] == "y"


@pytest.mark.parametrize(
    "spoilt", [b"{oops}", b'{"task_id":"x","a":"b}', b'{"task_id":"x","a":[1}', b"}", b""]
)
def test_a_page_that_a_record_spoils_is_not_cut_at_random(spoilt):
    with pytest.raises(CorruptPage) as caught:
        decode_page(a_page(b'{"task_id":"a"}', spoilt, b'{"task_id":"b","x":NaN}', count=3))
    (record,) = caught.value.page.records
    assert isinstance(record, UnusableRecord)
    assert spoilt in record.raw
    assert caught.value.page.count == 3


@pytest.mark.parametrize("order", [1, -1])
def test_a_page_of_a_deep_record_and_one_that_is_not_json_is_corrupt(order):
    """The end of the deep record is found without parsing the page, so the other is met only later."""
    deep = b'{"task_id":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(CorruptPage) as caught:
        decode_page(a_page(*[deep, rb'{"task_id":"a\qb"}'][::order], count=2))
    assert caught.value.page.count == 2


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"<html>", b'{"results": [1', b'{"results": null}', b'{"results": [1,,2]}']
)
def test_a_body_that_is_no_page_is_refused(body):
    with pytest.raises(UnreadablePage):
        decode_page(body)


@pytest.mark.parametrize(
    "count, read", [(3, 3), ("3", 3), (None, None), (-1, None), ("many", None), (1.5, None)]
)
def test_a_senseless_count_is_none(count, read):
    assert decode_page(a_page(count=count)).count == read


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(json_values, max_size=6), st.sampled_from([None, 1]), st.booleans())
def test_cutting_an_array_gives_its_elements(values, indent, ascii_only):
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert [json.loads(element) for element in split_array(text)] == values


@given(st.dictionaries(st.text(), json_values, max_size=6))
def test_cutting_an_object_gives_its_members(members):
    found = split_object(json.dumps(members).encode())
    assert {name: json.loads(value) for name, value in found.items()} == members


@given(st.dictionaries(st.text(), json_values, max_size=6), json_values)
def test_no_json_object_with_an_id_is_refused(fields, task_data):
    task = parse(**{**fields, "task_data": task_data, "task_id": ID})
    assert task.task_id == ID
    json.dumps(task.extra).encode()


@given(st.binary(max_size=60))
def test_no_bytes_crash_the_parser(body):
    try:
        decode_page(body)
    except UnreadablePage:
        return
    assert b"results" in body
