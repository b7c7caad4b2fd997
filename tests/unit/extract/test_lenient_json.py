"""JSON that a strict parser rejects: where its elements end, and how deep values may be nested."""

from __future__ import annotations

import json

import pytest

from etl.extract.lenient_json import MAX_DEPTH, is_shallow, split_array, split_object, storable
from etl.extract.result import parse_detail


@pytest.mark.parametrize("levels", [5, 500, 100_000])
@pytest.mark.parametrize("inner", ["1", '"]}"', '"\\\\"'])
def test_splitting_handles_any_nesting_depth(levels, inner):
    deep = "[" * levels + inner + "]" * levels
    assert split_array(f"[1, {deep} ,2]".encode()) == [b"1", deep.encode(), b"2"]
    assert split_object(f'{{"a" : {deep} , "b":2}}'.encode()) == {"a": deep.encode(), "b": b"2"}


@pytest.mark.parametrize(
    "text",
    ["[1,]", "[1 2]", "[,1]", "[1", "[1]]", "[1}", '["a:1]', "{}", "", "[nope]", "[" * 100_000 + "1,2"],
)
def test_split_array_rejects_malformed_arrays(text):
    with pytest.raises(ValueError):  # noqa: PT011 - any text
        split_array(text.encode())


@pytest.mark.parametrize(
    "text", ['{"a":1,}', '{"a" 1}', "{a:1}", '{"a":1', '{"a":1}}', '{"a":1]', '{"a:1}', "[]", "", "{1:2}"]
)
def test_split_object_rejects_malformed_objects(text):
    with pytest.raises(ValueError):  # noqa: PT011 - any text
        split_object(text.encode())


def test_invalid_json_values_are_kept_verbatim():
    items = [b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b'"\xff\xfe"', rb'"\ud800"', b'"\x00\n"']
    assert split_array(b"\xef\xbb\xbf [" + b" , ".join(items) + b"] ") == items


def nested(levels: int, innermost: object) -> object:
    value = innermost
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("levels", [1, MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, MAX_DEPTH + 50])
@pytest.mark.parametrize("innermost", [1, [], {"a": 1}, "x"])
def test_shallow_values_are_storable(levels, innermost):
    value = nested(levels, innermost)
    if is_shallow({"member": value}):
        assert storable(value) == value
    assert is_shallow({"member": value}) is (levels + isinstance(innermost, (list, dict)) <= MAX_DEPTH)


@pytest.mark.parametrize("levels", [MAX_DEPTH - 2, MAX_DEPTH + 50, 5000])
def test_too_deeply_nested_value_is_kept_as_text(levels):
    body = b'{"task_id":"t","result":{"deep":%s,"more":1}}' % (b"[" * levels + b"]" * levels)
    result = parse_detail(body).unpacked().result
    assert isinstance(result, dict)
    assert isinstance(result["deep"], str) is (levels > MAX_DEPTH)
    assert result["more"] == 1


def test_strict_and_lenient_result_parsing_agree():
    result = {"subtitles": [{"text": f"{number} ü"} for number in range(300)], "concatenated_text": "x"}
    body = json.dumps({"task_id": "t", "status": "SUCCESS", "result": result}).encode()
    doubtful = body.replace(b'"x"', b'"\\u0000"')
    assert parse_detail(body).result == result
    assert parse_detail(doubtful).subtitles == parse_detail(body).subtitles
