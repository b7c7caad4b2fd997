"""`gcore-etl search`: text and JSON output, and errors."""

from __future__ import annotations

import json

import pytest
from support.commands import error_of

CUES = [
    {"start_time": "01:02:03.000", "end_time": "01:02:05.000", "text": "Nobody \x1b[31m expected this"},
    {"start_time": "01:02:05.000", "end_time": "01:02:06.000", "text": "and they laughed."},
]


@pytest.fixture
def said(command, emulator):
    """Archive a transcript that contains an escape sequence; return the URL of its video."""
    emulator.world.create(task_id="t")
    emulator.world.start("t")
    emulator.world.finish("t", {"subtitles": CUES, "languages": ["eng"]})
    assert command("sync").code == 0
    return emulator.world.tasks["t"].task_data["url"]


def test_hit_shows_position_video_and_snippet(command, said):
    ended = command("search", "expected this")
    assert (ended.code, ended.err) == (0, "")
    first, second = ended.out.splitlines()
    assert first == f"1. 1:02:03  {said}"
    assert "[expected]" in second
    assert "\x1b" not in ended.out


def test_json_output_has_one_line_per_hit(command, said):
    ended = command("search", "laughed", "--json", "--language", "eng")
    (hit,) = map(json.loads, ended.out.splitlines())
    assert (hit["rank"], hit["task_id"], hit["url"]) == (1, "t", said)
    assert (hit["start_seconds"], hit["end_seconds"]) == (3725.0, 3726.0)
    assert "[laughed]" in hit["snippet"]


@pytest.mark.parametrize("text", ["elsewhere", '"', "%_*", "they AND (NOT"])
def test_search_without_hits_is_not_an_error(command, said, text):
    ended = command("search", text)
    assert said
    assert (ended.code, ended.out, ended.err) == (0, "", "nothing found\n")


def test_database_without_tables_is_one_line_error(command):
    assert "run gcore-etl sync" in error_of(command("search", "x"), 4)
