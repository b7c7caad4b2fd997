"""`gcore-etl export`: pipes, files, and what it says when it cannot."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def synced(command):
    assert command("sync").code == 0
    return command


def test_rows_go_to_the_standard_output(synced):
    ended = synced("export", "tasks")
    assert (ended.code, ended.err) == (0, "")
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert len(rows) == 30
    assert rows == sorted(rows, key=lambda row: row["task_id"])
    assert rows[0]["first_seen_at"].endswith("Z")
    assert isinstance(rows[0]["task_data"], dict)


def test_a_dash_is_the_standard_output(synced):
    ended = synced("export", "tasks", "-o", "-", "--format", "csv")
    assert (ended.code, ended.err) == (0, "")
    assert len(ended.out.splitlines()) == 31


def test_a_reader_that_leaves_early_is_no_error(synced):
    process = synced.start("export", "subtitles")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(30) in {0, 1, 141}
    process.stderr.close()


def test_a_file_is_written_and_counted(synced, tmp_path):
    ended = synced("export", "tasks", "-o", str(tmp_path / "tasks.csv"), "--status", "SUCCESS")
    assert ended.code == 0
    lines = (tmp_path / "tasks.csv").read_text().splitlines()
    assert ended.err == f"{len(lines) - 1} rows written to {tmp_path}/tasks.csv\n"


def test_subtitle_files_are_written(synced, tmp_path):
    ended = synced("export", "subtitles", "--format", "srt", "-o", str(tmp_path / "out"))
    assert ended.code == 0
    assert len(list((tmp_path / "out").glob("*.srt"))) > 3


@pytest.mark.parametrize(
    "words, code, said",
    [
        ("export nonsense", 2, "is not one of"),
        ("export tasks --format vtt -o x", 2, "is for subtitles"),
        ("export subtitles --format vtt", 2, "is for subtitles"),
        ("export tasks --partition-by day", 2, "name it with -o"),
        ("export tasks -o missing/x.csv", 1, "No such file or directory"),
        ("export tasks -o x.xlsx", 2, "does not say which format"),
        ("export task_durations --since 2026-01-01", 2, "has no time"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(synced, words, code, said):
    ended = synced(*words.split())
    assert ended.code == code
    assert said in ended.err
    assert "Traceback" not in ended.err
