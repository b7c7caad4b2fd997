"""JSON in pieces: what it costs to doubt a large text, and how deep values may be nested."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from etl.extract.lenient_json import MAX_DEPTH, check_grammar, is_shallow, split_object, storable
from etl.extract.result import parse_detail


@pytest.mark.parametrize("escape", [b"\\ud83d", b"\\u0041", b'\\"', b"\\\\"])
@pytest.mark.parametrize("read", [check_grammar, split_object])
def test_a_string_of_many_escapes_is_passed_without_remembering_each(escape, read):
    body = b'{"a":"' + escape * 200_000 + b'"}'
    tracemalloc.start()
    read(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * len(body)


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
