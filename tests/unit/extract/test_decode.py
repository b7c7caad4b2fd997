"""Decoding of pages and tasks: both record shapes, invalid values, and unusable records."""

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
    """Return the decoded values by column name."""
    task = decode_task(json.dumps({"task_id": ID, **fields}).encode())
    return SimpleNamespace(task_id=task.task_id, **task.as_dict())


def a_page(*records: bytes, **fields: object) -> bytes:
    head = json.dumps({"count": len(records), "next": None, **fields})[:-1]
    return head.encode() + b', "results": [' + b", ".join(records) + b"]}"


def test_current_shape_is_decoded():
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


def test_older_shape_is_decoded():
    task = parse(task_name="transcription", status="PENDING", task_data={"audio_language": "eng"})
    assert (task.task_name, task.audio_language, task.started_at) == ("transcription", "eng", None)


def test_unknown_fields_are_kept_in_extra():
    task = parse(shard=3, processing_time={"queue": "a", "started_at": None})
    assert task.extra == {"shard": 3, "processing_time": {"queue": "a"}}


@pytest.mark.parametrize(
    "field, value",
    [("status", 5), ("progress", "many"), ("progress", True), ("progress", 2**40), ("task_data", "x")],
)
def test_invalid_field_is_null_and_kept_in_extra(field, value):
    task = parse(**{field: value})
    assert getattr(task, field) is None
    assert task.extra == {field: value}


@pytest.mark.parametrize("value", ["yesterday", 5, "2026-13-01", "0001-01-01T00:00:00+14:00", ""])
def test_invalid_time_is_null_and_kept_in_extra(value):
    task = parse(processing_time={"started_at": value})
    assert task.started_at is None
    assert task.extra == {"processing_time": {"started_at": value}}


def test_times_are_normalized_to_utc():
    times = {"started_at": "2026-06-26T16:00:00", "completed_at": "2026-06-26T16:00:00+02:00"}
    task = parse(processing_time=times)
    assert task.started_at == dt.datetime(2026, 6, 26, 16, tzinfo=dt.UTC)
    assert task.completed_at == dt.datetime(2026, 6, 26, 14, tzinfo=dt.UTC)


@pytest.mark.parametrize("task_id", [None, "", "  ", 7, ["a"], "a\x00b", "a\nb", "..", "x" * 256])
def test_record_without_valid_id_is_rejected(task_id):
    with pytest.raises(RecordError, match="task_id"):
        parse(task_id=task_id)


def test_unstorable_text_is_replaced_and_original_kept():
    task = decode_task(b'{"task_id":"a","task_data":{"url":"x\\u0000y\\ud800"}}')
    assert task.as_dict()["url"] == "x\ufffdy\ufffd"
    assert task.as_dict()["extra"] == {ORIGINALS: {"task_data": '{"task_data":{"url":"x\\u0000y\\ud800"}}'}}


def test_unstorable_text_does_not_affect_other_records():
    first, second = decode_page(
        a_page(b'{"task_id":"a","status":"x\\u0000"}', b'{"task_id":"b","status":"y"}')
    ).tasks
    assert first.as_dict()["status"] == "x\ufffd"
    assert second.as_dict()["status"] == "y"


@pytest.mark.parametrize(
    "spoilt", [b"{oops}", b'{"task_id":"x","a":"b}', b'{"task_id":"x","a":[1}', b"}", b""]
)
def test_page_with_malformed_record_is_kept_whole(spoilt):
    with pytest.raises(CorruptPage) as caught:
        decode_page(a_page(b'{"task_id":"a"}', spoilt, b'{"task_id":"b","x":NaN}', count=3))
    (record,) = caught.value.page.records
    assert isinstance(record, UnusableRecord)
    assert spoilt in record.raw
    assert caught.value.page.count == 3


@pytest.mark.parametrize("order", [1, -1])
def test_page_with_deep_and_malformed_records_is_corrupt(order):
    """The deep record is delimited without parsing, so the malformed one is detected only later."""
    deep = b'{"task_id":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(CorruptPage) as caught:
        decode_page(a_page(*[deep, b"{oops}"][::order], count=2))
    assert caught.value.page.count == 2


@pytest.mark.parametrize("value", [r'"a\qb"', "007", "[-00.5e1]", r'"\u12"', r'{"a":"\x]\\"}'])
@pytest.mark.parametrize("is_deep", [False, True])
def test_invalid_escape_or_number_costs_its_value_alone(value, is_deep):
    odd = b'{"task_id":"b","w":' + value.encode() + b"}"
    other = b'{"task_id":"a","x":' + (b"[" * 100_000 + b"]" * 100_000 if is_deep else b"NaN") + b"}"
    for records in ([other, odd], [odd, other]):
        tasks = decode_page(a_page(*records)).tasks
        extra = {task.task_id: task.as_dict()["extra"] for task in tasks}
        assert extra["b"] == {"w": value}
        assert "x" in extra["a"]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b"<html>", b'{"results": [1', b'{"results": null}', b'{"results": [1,,2]}']
)
def test_body_that_is_not_a_page_is_rejected(body):
    with pytest.raises(UnreadablePage):
        decode_page(body)


@pytest.mark.parametrize(
    "count, read", [(3, 3), ("3", 3), (None, None), (-1, None), ("many", None), (1.5, None)]
)
def test_invalid_count_is_none(count, read):
    assert decode_page(a_page(count=count)).count == read


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(json_values, max_size=6), st.sampled_from([None, 1]), st.booleans())
def test_split_array_returns_elements(values, indent, ascii_only):
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert [json.loads(element) for element in split_array(text)] == values


@given(st.dictionaries(st.text(), json_values, max_size=6))
def test_split_object_returns_members(members):
    found = split_object(json.dumps(members).encode())
    assert {name: json.loads(value) for name, value in found.items()} == members


@given(st.dictionaries(st.text(), json_values, max_size=6), json_values)
def test_any_object_with_an_id_is_accepted(fields, task_data):
    task = parse(**{**fields, "task_data": task_data, "task_id": ID})
    assert task.task_id == ID
    json.dumps(task.extra).encode()


@given(st.binary(max_size=60))
def test_arbitrary_bytes_do_not_crash_the_decoder(body):
    try:
        decode_page(body)
    except UnreadablePage:
        return
    assert b"results" in body
