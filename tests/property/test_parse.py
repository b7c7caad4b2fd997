"""The strict and the lenient decoder never disagree about a record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.emulator import Behaviour, World
from etl.emulator.render import dump, make_record
from etl.errors import RecordError
from etl.extract.lenient import decode_leniently
from etl.extract.lenient_json import is_suspect
from etl.extract.strict import decode_strict
from etl.models import API_FIELDS, FieldKind

if TYPE_CHECKING:
    from etl.extract.payload import TaskPayload

TEXTS = st.text(max_size=12, alphabet=st.characters(exclude_categories=["Cs", "Cc"]))
HARD_TEXTS = st.sampled_from(["\x00", "\ud800", "\U0001f600", "\\u0000", "7", "1e3"])
EASY_TIMES = (
    *("2026-06-26T16:26:29.25Z", "2026-06-26T16:26:29Z", "2026-06-26 16:26:29"),
    *("2026-06-26T16:26:29+02:00", "2026-06-26T16:26:29.999999999Z", "2026-06-26t16:26:29z"),
)
ODD_TIMES = (
    "2026-06-26T16:26:29.1234567Z",
    "2026-W26-5",
    "20260626T162629,5Z",
    "0001-01-01T00:00:00Z",
    "1970-12-31T23:59:59Z",
    "9999-12-31T23:59:59-01:00",
    "2026-02-30T00:00:00Z",
    "24:00",
    "",
)
TIMES, HARD_TIMES = st.sampled_from(EASY_TIMES), st.sampled_from(ODD_TIMES)
NUMBERS = st.integers(0, 1 << 40) | st.floats(0, 1e9)
HARD_NUMBERS = (
    st.integers(-(1 << 70), 1 << 70)
    | st.floats(allow_nan=True)
    | st.sampled_from([0, -0.0, 1 << 31, -(1 << 31), (1 << 31) - 1, 1 << 63, -(1 << 63), 10**400])
)
ODD = st.none() | st.booleans() | HARD_NUMBERS | HARD_TEXTS | HARD_TIMES | st.just([]) | st.just({})
RARELY = st.integers(0, 9).map(lambda number: number == 9)


def some_of(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects that have some of these fields, seldom an odd value, and seldom an unknown field."""
    usual = st.fixed_dictionaries({}, optional=fields)
    odd = st.dictionaries(st.sampled_from([*fields, "unknown"]), ODD, max_size=1)
    return st.builds(lambda one, other, is_odd: one | other if is_odd else one, usual, odd, RARELY)


# A usual value of each kind of field that the model declares.
USUAL = {
    FieldKind.TEXT: st.none() | TEXTS,
    FieldKind.SMALL_INTEGER: st.integers(0, 100),
    FieldKind.INTEGER: st.integers(0, 1 << 40),
    FieldKind.NUMBER: NUMBERS,
    FieldKind.BOOLEAN: st.booleans(),
    FieldKind.INSTANT: TIMES,
}


def fields_of(parent: str | None) -> dict[str, st.SearchStrategy[Any]]:
    """Return usual values of the members of a record, or of its object `parent`."""
    return {
        field.name: USUAL[field.kind]
        for field in API_FIELDS
        if field.parent == parent and field.kind in USUAL
    }


RECORDS = some_of(
    task_id=st.uuids().map(str),
    task_data=st.none() | some_of(task_name=TEXTS, **fields_of("task_data")),
    processing_time=st.none() | some_of(**fields_of("processing_time")),
    **fields_of(None),
)


LOOKED_AT = ("client_id", "started_at", "completed_at", "date_created")


def in_order(payload: TaskPayload) -> str:
    """Return a payload as text in which 1, 1.0 and True differ, and members are sorted by name."""
    looked_at = payload.client_id, payload.started_at, payload.completed_at, payload.date_created
    assert looked_at == tuple(payload.as_dict()[name] for name in LOOKED_AT)
    return repr((payload.task_id, sorted_deeply(payload.as_dict()), payload.payload_hash, payload.size))


def sorted_deeply(value: Any) -> Any:
    return {name: sorted_deeply(value[name]) for name in sorted(value)} if isinstance(value, dict) else value


@given(RECORDS, st.booleans(), st.sampled_from([None, 1]))
def test_strict_and_lenient_decoders_agree(record, is_ascii, indent):
    raw = json.dumps(record, ensure_ascii=is_ascii, indent=indent).encode("utf-8", "surrogatepass")
    plain = None if is_suspect(raw) else decode_strict(raw)
    if plain is None:
        return
    assert in_order(plain) == in_order(decode_leniently(raw))


@pytest.mark.parametrize("text", [*EASY_TIMES, *ODD_TIMES])
def test_strict_and_lenient_decoders_agree_on_times(text):
    times = {"started_at": text, "completed_at": text}
    for record in (
        *({"task_id": "a", "processing_time": {name: text}} for name in times),
        {"task_id": "a", "processing_time": times, "date_created": text},
    ):
        raw = msgspec.json.encode(record)
        plain = decode_strict(raw)
        assert (plain is not None) >= (text in EASY_TIMES)
        assert plain is None or in_order(plain) == in_order(decode_leniently(raw))


@pytest.mark.parametrize("created", [None, "date_created"])
def test_strict_decoder_accepts_documented_records(created):
    world = World.seeded(200)
    for task in world.tasks.values():
        raw = dump(make_record(task, Behaviour(creation_field=created)))
        plain = decode_strict(raw)
        assert plain is not None
        assert in_order(plain) == in_order(decode_leniently(raw))


@pytest.mark.parametrize("name", ["task_id", "status", "task_data", "processing_time"])
def test_last_of_duplicate_members_wins(name):
    raw = b'{"task_id":"x","status":"SUCCESS","task_data":{"url":"a"},"processing_time":{"total_time_sec":1}}'
    value = msgspec.json.encode(json.loads(raw)[name])
    other = (
        value.replace(b'"a"', b'"b"')
        .replace(b'"x"', b'"y"')
        .replace(b"SUCCESS", b"REVOKED")
        .replace(b"1", b"2")
    )
    twice = raw[:-1] + b',"%s":%s}' % (name.encode(), other)
    assert decode_strict(twice) != decode_strict(raw)
    assert in_order(decode_strict(twice)) == in_order(decode_leniently(twice))


@pytest.mark.parametrize("task_id", ["", ".", "..", "\x00", " ", "a" * 256, "\n"])
def test_invalid_id_is_rejected_by_both_decoders(task_id):
    raw = msgspec.json.encode({"task_id": task_id})
    assert is_suspect(raw) or decode_strict(raw) is None
    with pytest.raises(RecordError):
        decode_leniently(raw)
