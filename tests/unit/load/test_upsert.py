"""One payload, one row: which columns the API fills, and when two observations are of the same state."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.extract.decode import decode_task
from etl.extract.payload import CONTENT, decoder_id, payload_hash, task_payload
from etl.load.upsert import differs
from etl.models import API_FIELDS, TASKS

NOON = dt.datetime(2026, 6, 26, 12, tzinfo=dt.UTC)


def content(**fields: object) -> dict[str, object]:
    return task_payload("t", fields).as_dict()


def test_content_covers_all_api_fields():
    assert set(CONTENT) == {field.name for field in API_FIELDS} | {"extra"}
    assert set(CONTENT) <= set(TASKS.c.keys())


def test_payload_maps_to_content_columns():
    payload = decode_task(
        json.dumps(
            {
                "task_id": "t",
                "status": "STARTED",
                "progress": 40,
                "task_data": {"task_name": "transcription", "url": "u", "client_id": 5},
                "processing_time": {"started_at": "2026-06-26T12:00:00Z", "queue": "a"},
            }
        ).encode()
    )
    said = {name: value for name, value in payload.as_dict().items() if value is not None}
    assert said == {
        "task_name": "transcription",
        "status": "STARTED",
        "progress": 40,
        "url": "u",
        "client_id": 5,
        "task_data": {"task_name": "transcription", "url": "u", "client_id": 5},
        "started_at": NOON,
        "extra": {"processing_time": {"queue": "a"}},
    }


def test_payload_hash_depends_on_every_byte():
    assert payload_hash(b'{"a":1}') == payload_hash(b'{"a":1}')
    texts = (b"", b'{"a":1}', b'{"a":2}', b'{"a": 1}', b'{"a":1}\n', b"\xff")
    assert len({payload_hash(text) for text in texts}) == len(texts)
    assert {len(payload_hash(text)) for text in texts} == {16}


def test_decoder_id_depends_on_fields_and_version():
    """If the fields or the decoder change, stored records must be read again."""
    first, *others = API_FIELDS
    renamed = dataclasses.replace(first, fallbacks=("title",))
    ids = {decoder_id(fields) for fields in (API_FIELDS, (first,), tuple(others), (renamed, *others))}
    assert len(ids | {decoder_id(API_FIELDS, version=2)}) == 5


@pytest.mark.parametrize(
    "name, one, other",
    [
        ("status", "STARTED", "PENDING"),
        ("status", "STARTED", None),
        ("status", "", None),
        ("progress", 0, None),
        ("progress", 1, 2),
        ("started_at", NOON, NOON + dt.timedelta(microseconds=1)),
        ("total_time_sec", 0.1, 0.2),
        ("task_data", {}, None),
        ("task_data", {"a": 1}, {"a": "1"}),
        ("extra", {"a": None}, {}),
        ("extra", {"a": True}, {"a": 1}),
        ("extra", {"a": 0}, {"a": False}),
        ("extra", {"a": [1.0, {"b": True}]}, {"a": [1, {"b": 1.0}]}),
        ("extra", {"a": [1]}, {"a": [1, 1]}),
        ("extra", {"a": [1]}, {"a": {"0": 1}}),
        ("extra", {"a": 2**60}, {"a": 2**60 + 1}),
        ("extra", {"a": 1e23}, {"a": 10**23 + 1}),
        ("extra", {"a": 10**400}, {"a": 1e300}),
    ],
)
def test_different_values_differ(name, one, other):
    assert differs(content(**{name: one}), content(**{name: other}))
    assert differs(content(**{name: other}), content(**{name: one}))


@pytest.mark.parametrize(
    "name, one, other",
    [
        ("started_at", NOON, NOON.astimezone(dt.timezone(dt.timedelta(hours=2)))),
        ("extra", {"a": 1, "b": [2]}, {"b": [2], "a": 1}),
        ("extra", {"a": 1.0}, {"a": 1}),
        ("extra", {"a": 1e23}, {"a": 10**23}),
        ("extra", {"a": [float(2**60)]}, {"a": [1152921504606847000]}),
        ("extra", {"a": 1.7e308}, {"a": 17 * 10**307}),
        ("extra", {"a": -0.0}, {"a": 0.0}),
    ],
)
def test_equivalent_values_do_not_differ(name, one, other):
    assert not differs(content(**{name: one}), content(**{name: other}))
    assert not differs(content(**{name: other}), content(**{name: one}))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(values)
def test_value_does_not_differ_from_its_json_round_trip(value):
    assert not differs(content(extra={"a": value}), content(extra={"a": json.loads(json.dumps(value))}))


@given(values, values)
def test_values_with_different_json_differ(one, other):
    def spelled(value: object) -> str:
        return json.dumps(json.loads(json.dumps(value), parse_int=float), sort_keys=True).replace(
            "-0.0", "0.0"
        )

    if spelled(one) != spelled(other):
        assert differs(content(extra={"a": one}), content(extra={"a": other}))
