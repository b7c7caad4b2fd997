"""`gcore-etl export`: pipes, files, and errors."""

from __future__ import annotations

import json
import os

import pytest


@pytest.fixture
def synced(command):
    assert command("sync").code == 0
    return command


def test_export_writes_ndjson_to_stdout_by_default(synced):
    ended = synced("export", "tasks")
    assert (ended.code, ended.err) == (0, "")
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert len(rows) == 30
    assert rows == sorted(rows, key=lambda row: row["task_id"])
    assert rows[0]["first_seen_at"].endswith("Z")
    assert isinstance(rows[0]["task_data"], dict)


def test_dash_means_stdout(synced):
    ended = synced("export", "tasks", "-o", "-", "--format", "csv")
    assert (ended.code, ended.err) == (0, "")
    assert len(ended.out.splitlines()) == 31


@pytest.mark.parametrize("kind", ["ndjson", "csv", "parquet"])
def test_closed_pipe_is_not_an_error(synced, kind):
    process = synced.start("export", "subtitles", "--format", kind)
    assert process.stdout is not None
    os.read(process.stdout.fileno(), 1)
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(30) in {0, 1, 141}
    process.stderr.close()


def test_export_to_file_reports_row_count(synced, tmp_path):
    ended = synced("export", "tasks", "-o", str(tmp_path / "tasks.csv"), "--status", "SUCCESS")
    assert ended.code == 0
    lines = (tmp_path / "tasks.csv").read_text().splitlines()
    assert ended.err == f"{len(lines) - 1} rows written to {tmp_path}/tasks.csv\n"


def test_excel_option_adds_bom_and_separator(synced, tmp_path):
    exact, excel = tmp_path / "exact.csv", tmp_path / "excel.csv"
    assert synced("export", "tasks", "-o", str(exact)).code == 0
    before = exact.read_bytes()
    assert before.startswith(b"task_id,")
    # --raw is still accepted, and has no effect.
    assert synced("export", "tasks", "-o", str(exact), "--raw").code == 0
    assert exact.read_bytes() == before
    assert synced("export", "tasks", "-o", str(excel), "--excel").code == 0
    assert excel.read_bytes().startswith(b"\xef\xbb\xbftask_id,")
    for separator in ("semicolon", ";"):
        assert synced("export", "tasks", "-o", str(excel), "--excel", "--separator", separator).code == 0
        assert excel.read_bytes().startswith(b"\xef\xbb\xbftask_id;")
    assert "--excel" in synced("export", "--help").out
    assert "--raw" not in synced("export", "--help").out
    # --excel implies CSV if the format is not given.
    assert synced("export", "tasks", "--excel").out.lstrip("\ufeff").startswith("task_id,")


def test_skipped_transcripts_are_reported(command, emulator, tmp_path):
    emulated = emulator.world
    emulated.create(task_id="silent")
    emulated.start("silent")
    emulated.finish(
        "silent", {"speech_detected": False, "concatenated_text": "", "vttContent": "", "subtitles": []}
    )
    assert command("sync").code == 0
    ended = command("export", "subtitles", "--format", "srt", "-o", str(tmp_path / "out"))
    assert ended.code == 0
    assert "transcripts that have no speech, or no times" in ended.err
    assert all(path.stat().st_size for path in (tmp_path / "out").iterdir())


def test_srt_files_are_written_to_folder(synced, tmp_path):
    ended = synced("export", "subtitles", "--format", "srt", "-o", str(tmp_path / "out"))
    assert ended.code == 0
    assert len(list((tmp_path / "out").glob("*.srt"))) > 3


@pytest.mark.parametrize(
    "words, code, said",
    [
        ("export nonsense", 2, "is not one of"),
        ("export tasks --format vtt -o x", 2, "exports subtitles to a folder"),
        ("export subtitles --format vtt", 2, "exports subtitles to a folder"),
        ("export tasks --partition-by day", 2, "name it with -o"),
        ("export tasks -o missing/x.csv", 1, "No such file or directory"),
        ("export tasks -o x.xlsx", 2, "does not end with a format"),
        ("export task_durations --since 2026-01-01", 2, "has no time"),
        ("export tasks -o x.parquet --excel", 2, "--excel writes CSV, not parquet"),
        ("export subtitles --format srt -o x --excel", 2, "--excel writes CSV, not srt"),
        ("export tasks -o x.csv --separator semicolon", 2, "--separator needs --excel"),
    ],
)
def test_invalid_exports_fail_without_traceback(synced, words, code, said):
    ended = synced(*words.split())
    assert ended.code == code
    assert said in ended.err
    assert "Traceback" not in ended.err
