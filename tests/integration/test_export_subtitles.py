"""A subtitle file is written for each transcript with speech, and for no other."""

from __future__ import annotations

import json

import pysubs2
import pytest
import sqlalchemy as sa
import webvtt
from support.stored import store_result, store_task
from support.worlds import a_world, query, settings_for

from etl import frames
from etl.emulator import serve
from etl.export import export_subtitles
from etl.models import SUBTITLES
from etl.sync.api import run_sync

SAID = 'AT&T & R&B <3 "Q&A" -->'
VTT = "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nAT&amp;T as received\n"


def store_transcript(engine, task_id: str, *lines: tuple, **result) -> None:
    """Store the result of a transcription: start, end and text of each line."""
    with engine.begin() as connection:
        store_task(connection, task_id, task_name="transcription", status="SUCCESS")
        store_result(connection, task_id, "archived", kind="transcription", **result)
        for position, (start, end, text) in enumerate(lines):
            row = {"position": position, "start_seconds": start, "end_seconds": end, "text": text}
            connection.execute(sa.insert(SUBTITLES).values(task_id=task_id, **row))


def exported(url: str, folder, kind: str) -> dict[str, str]:
    number = export_subtitles(folder, kind, source=url)
    files = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    assert len(files) == number
    assert all(files.values())
    return files


def test_each_transcript_with_speech_becomes_a_file(database_url, tmp_path):
    with serve(a_world(120)) as emulator:
        run_sync(settings_for(emulator, database_url))
    spoken = {
        task_id: list(lines["text"]) for task_id, lines in frames.subtitles(database_url).groupby("task_id")
    }
    assert len(spoken) > 20
    subrip = exported(database_url, tmp_path / "srt", "srt")
    assert {
        name: [event.text for event in pysubs2.SSAFile.from_string(text)] for name, text in subrip.items()
    } == {f"{task_id}.srt": texts for task_id, texts in spoken.items()}
    vtt = exported(database_url, tmp_path / "vtt", "vtt")
    received = dict(query(database_url, "SELECT task_id, vtt FROM task_results WHERE vtt <> ''"))
    assert vtt == {f"{task_id}.vtt": text for task_id, text in received.items()}
    assert received.keys() == spoken.keys()
    silent = query(database_url, "SELECT count(*) FROM task_results WHERE text = ''")
    assert silent != [(0,)]


def test_subrip_contains_the_text_that_players_show(engine, migrated_url, tmp_path):
    store_transcript(engine, "t", (0, 2, SAID), (2, 3, "one\n\ntwo"), vtt=VTT)
    assert exported(migrated_url, tmp_path, "srt") == {
        "t.srt": '1\n00:00:00,000 --> 00:00:02,000\nAT&T & R&B <3 "Q&A" ->\n\n'
        "2\n00:00:02,000 --> 00:00:03,000\none\ntwo\n"
    }


NOTHING_SAID = {
    "silent": {"text": "", "vtt": "", "speech_detected": False},
    "header": {"text": "", "vtt": "WEBVTT\n\n"},
    "text alone": {"text": "nobody noted the time"},
    "null": {"text": "", "vtt": None},
}


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_transcripts_without_subtitles_are_skipped_and_counted(engine, migrated_url, tmp_path, kind, caplog):
    for task_id, result in NOTHING_SAID.items():
        store_transcript(engine, task_id, **result)
    store_transcript(engine, "without times", (None, 1, "a"), (2, 1, "b"), text="a b", vtt="WEBVTT")
    store_transcript(engine, "spoken", (0, 1, "a"), vtt=VTT)
    # This is not a transcript, so it does not count as one without speech.
    store_transcript(engine, "moderation", detected=True)
    assert exported(migrated_url, tmp_path, kind).keys() == {f"spoken.{kind}"}
    assert caplog.messages == ["skipped 5 transcripts that have no speech, or no times"]


@pytest.mark.parametrize("vtt", [None, "", "WEBVTT", "WEBVTT\n\nNOTE nothing\n"])
def test_webvtt_is_built_from_subtitles_if_the_received_one_is_empty(engine, migrated_url, tmp_path, vtt):
    store_transcript(engine, "t", (0, 2, SAID), vtt=vtt)
    (text,) = exported(migrated_url, tmp_path, "vtt").values()
    assert text == (
        'WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nAT&amp;T &amp; R&amp;B &lt;3 "Q&amp;A" --&gt;\n'
    )
    assert len(webvtt.WebVTT.from_string(text)) == 1


def test_subrip_is_converted_from_webvtt_if_there_are_no_subtitles(engine, migrated_url, tmp_path):
    store_transcript(engine, "t", vtt=VTT)
    assert exported(migrated_url, tmp_path, "srt") == {
        "t.srt": "1\n00:00:00,000 --> 00:00:02,000\nAT&T as received\n"
    }


def test_empty_webvtt_is_replaced_by_generated_one_when_stored(database_url):
    world = a_world(0)
    world.create(task_id="t")
    world.start("t")
    line = {"start_time": "00:00:00.000", "end_time": "00:00:02.000", "text": "a & b"}
    world.finish("t", {"subtitles": [line], "vttContent": "", "concatenated_text": "a & b"})
    with serve(world) as emulator:
        run_sync(settings_for(emulator, database_url))
    ((vtt, result),) = query(database_url, "SELECT vtt, result FROM task_results")
    assert "a &amp; b" in vtt
    assert (json.loads(result) if isinstance(result, str) else result)["vttContent"] == ""
