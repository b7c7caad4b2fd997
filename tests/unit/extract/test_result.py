"""Parsing of results: all known field names, and invalid values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.errors import UnreadablePage
from etl.extract.result import ResultPayload, fullness, parse_detail, timecode

TRANSCRIPTION = {"task_name": "transcription"}
MODERATION = {"task_name": "content-moderation", "category": "nsfw"}


def read(result: Any, *, status: str = "SUCCESS", task_data: dict[str, str] = MODERATION) -> ResultPayload:
    return parse_detail(
        json.dumps({"task_id": "t", "status": status, "task_data": task_data, "result": result}).encode()
    )


def test_transcript_is_parsed():
    found = read(
        {
            "speech_detected": True,
            "concatenated_text": "你好",
            "subtitles": [{"start_time": "01:00:00.250", "end_time": "01:00:02.5", "text": "你好"}],
            "vttContent": "WEBVTT",
            "languages": ["zho"],
        },
        task_data=TRANSCRIPTION,
    )
    assert (found.kind, found.speech_detected, found.detected) == ("transcription", True, None)
    assert (found.text, found.vtt, found.languages) == ("你好", "WEBVTT", ["zho"])
    (cue,) = found.subtitles
    assert (cue.start_seconds, cue.end_seconds, cue.text) == (3600.25, 3602.5, "你好")


@pytest.mark.parametrize(
    "frame",
    [
        {"frame_number": 7, "label": "x", "confidence": 0.5},
        {"frame-number": 7, "label": "x", "score": 0.5},
        {"frame-number": "7", "label": "x", "score": "0.5"},
    ],
)
@pytest.mark.parametrize("flag", ["nsfw_detected", "porn_detected", "weapon_detected"])
def test_all_detection_field_names_are_accepted(frame, flag):
    found = read({flag: True, "detection_results": ["x"], "frames": [frame]})
    (detection,) = found.detections
    assert (detection.frame_number, detection.label, detection.confidence) == (7, "x", 0.5)
    assert (found.kind, found.detected) == ("nsfw", True)


def test_error_of_failed_task_is_its_result():
    found = read({"error": "no video"}, status="FAILURE")
    assert (found.kind, found.error, found.result) == ("failure", "no video", {"error": "no video"})


@pytest.mark.parametrize("empty", [None, {}, [], "", {"text": None, "frames": []}])
def test_empty_result_is_none(empty):
    assert read(empty).result is None


def test_negative_detection_is_a_result():
    found = read({"nsfw_detected": False, "detection_results": [], "frames": []})
    assert (found.result is not None, found.detected) == (True, False)


@pytest.mark.parametrize("result", [5, "text", [1], {"frames": "none", "subtitles": [3], "languages": 4}])
def test_result_of_unknown_shape_is_kept_whole(result):
    found = read(result)
    assert found.result == result
    assert (found.subtitles, found.detections, found.languages) == ((), (), None)


def test_unstorable_values_are_replaced_and_originals_kept():
    raw = b'{"task_id":"t","status":"SUCCESS","result":{"concatenated_text":"a\\u0000b","deep":%s}}'
    found = parse_detail(raw % (b"[" * 3000 + b"]" * 3000))
    assert found.text == "a\ufffdb"
    assert found.result["_originals"] == {"concatenated_text": '{"concatenated_text":"a\\u0000b"}'}
    assert found.result["deep"].startswith("[[[")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"status":"SUCCESS"}', b'{"task_id":"t","result":{"a"', b"<html>"]
)
def test_body_that_is_not_a_task_is_rejected(body):
    with pytest.raises(UnreadablePage):
        parse_detail(body)


@given(st.integers(min_value=0, max_value=360_000_000))
def test_timecodes_are_exact_to_the_millisecond(milliseconds):
    minutes, rest = divmod(milliseconds, 60_000)
    shown = f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
    assert timecode(shown) == milliseconds / 1000


@pytest.mark.parametrize("shown", ["", "12", "a:b:c", "00:00:00.1.2", "-1:00:00.0", 5])
def test_invalid_timecode_is_rejected(shown):
    with pytest.raises((ValueError, TypeError)):
        timecode(shown)


def test_fullness_counts_non_empty_values():
    assert fullness({"a": [1, None, {"b": ""}], "c": False, "d": 0}) == 3
