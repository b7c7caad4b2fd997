"""JSON that a strict parser rejects: where its elements end, and how deep values may be nested."""

from __future__ import annotations

import json

import pytest

from etl.extract.lenient_json import MAX_DEPTH, is_shallow, split_array, split_object, storable
from etl.extract.result import parse_detail


@pytest.mark.parametrize("levels", [5, 500, 100_000])
@pytest.mark.parametrize("inner", ["1", '"]}"', '"\\\\"'])
def test_elements_end_where_their_brackets_do_however_deep_they_are(levels, inner):
    deep = "[" * levels + inner + "]" * levels
    assert split_array(f"[1, {deep} ,2]".encode()) == [b"1", deep.encode(), b"2"]
    assert split_object(f'{{"a" : {deep} , "b":2}}'.encode()) == {"a": deep.encode(), "b": b"2"}


@pytest.mark.parametrize(
    "text",
    ["[1,]", "[1 2]", "[,1]", "[1", "[1]]", "[1}", '["a:1]', "{}", "", "[nope]", "[" * 100_000 + "1,2"],
)
def test_a_text_that_is_not_an_array_is_an_error(text):
    with pytest.raises(ValueError):  # noqa: PT011 - any text
        split_array(text.encode())


@pytest.mark.parametrize(
    "text", ['{"a":1,}', '{"a" 1}', "{a:1}", '{"a":1', '{"a":1}}', '{"a":1]', '{"a:1}', "[]", "", "{1:2}"]
)
def test_a_text_that_is_not_an_object_is_an_error(text):
    with pytest.raises(ValueError):  # noqa: PT011 - any text
        split_object(text.encode())


def test_what_a_strict_parser_rejects_is_kept_byte_by_byte():
    items = [b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b'"\xff\xfe"', rb'"\ud800"', b'"\x00\n"']
    assert split_array(b"\xef\xbb\xbf [" + b" , ".join(items) + b"] ") == items


def nested(levels: int, innermost: object) -> object:
    value = innermost
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("levels", [1, MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, MAX_DEPTH + 50])
@pytest.mark.parametrize("innermost", [1, [], {"a": 1}, "x"])
def test_what_is_called_shallow_can_be_stored(levels, innermost):
    value = nested(levels, innermost)
    if is_shallow({"member": value}):
        assert storable(value) == value
    assert is_shallow({"member": value}) is (levels + isinstance(innermost, (list, dict)) <= MAX_DEPTH)


@pytest.mark.parametrize("levels", [MAX_DEPTH - 2, MAX_DEPTH + 50, 5000])
def test_a_value_that_is_nested_too_deeply_is_kept_as_text_however_clean_it_is(levels):
    body = b'{"task_id":"t","result":{"deep":%s,"more":1}}' % (b"[" * levels + b"]" * levels)
    result = parse_detail(body).unpacked().result
    assert isinstance(result, dict)
    assert isinstance(result["deep"], str) is (levels > MAX_DEPTH)
    assert result["more"] == 1


def test_a_clean_result_and_a_doubtful_one_are_read_alike():
    result = {"subtitles": [{"text": f"{number} ü"} for number in range(300)], "concatenated_text": "x"}
    body = json.dumps({"task_id": "t", "status": "SUCCESS", "result": result}).encode()
    doubtful = body.replace(b'"x"', b'"\\u0000"')
    assert parse_detail(body).result == result
    assert parse_detail(doubtful).subtitles == parse_detail(body).subtitles
