"""The progress and the report that `sync`, `watch` and `demo` print about one run."""

from __future__ import annotations

import datetime as dt
import errno
import io
import sys

import pytest

from etl.cli.run_report import count_rejected, print_summary, progress_bar
from etl.sync.summary import Progress, RunSummary

WATERMARK = dt.datetime(2026, 12, 1, 14, 39, 57, 123_456, dt.UTC)
FULL = {
    "run_id": 1,
    "mode": "full",
    "tasks_seen": 2000,
    "requests": 409,
    "inserted": 2000,
    "duration_seconds": 0.564338,
    "watermark": WATERMARK,
    "date_filter": "gte",
}


def lines(capsys: pytest.CaptureFixture[str], **facts: object) -> list[str]:
    """Return the report about a run with these facts."""
    print_summary(RunSummary(**facts))
    return capsys.readouterr().out.splitlines()


def test_report_has_title_counters_results_and_facts(capsys):
    results = {"results_waiting": 1489, "results_syncs_left": 4, "results_seconds_left": 2.1}
    assert lines(capsys, **FULL, results_archived=400, audit="agrees", **results) == [
        "Full sync finished in 0.6 s: 2,000 tasks, 409 requests (run 1)",
        "  inserted 2,000 · updated 0 · unchanged 0 · removed 0 · rejected 0",
        "  results: 400 archived, 1,489 pending (4 more syncs, about 2 s)",
        "  watermark 2026-12-01 14:39:57 UTC · date filter gte · count audit ok",
    ]


@pytest.mark.parametrize(
    "mode, title",
    [
        ("incremental", "Incremental sync"),
        ("full", "Full sync"),
        ("since", "Sync with --since"),
        ("partial", "Partial sync"),
    ],
)
def test_title_names_the_mode(capsys, mode, title):
    report = lines(capsys, mode=mode, run_id=3, tasks_seen=1, requests=1, duration_seconds=65)
    assert report[0] == f"{title} finished in 1 min 5 s: 1 task, 1 request (run 3)"


def test_dry_run_report_says_nothing_was_written(capsys):
    report = lines(capsys, **{**FULL, "run_id": None, "dry_run": True})
    assert report[0] == (
        "Dry run (full sync) finished in 0.6 s: 2,000 tasks, 409 requests; nothing was written"
    )


@pytest.mark.parametrize(
    "facts, expected",
    [
        ({"results_waiting": 0, "results_syncs_left": 0}, "0 pending"),
        ({"results_waiting": 7, "results_syncs_left": 0}, "7 pending (not available yet)"),
        ({"results_waiting": 7, "results_syncs_left": 1}, "7 pending (1 more sync)"),
        (
            {"results_waiting": 9000, "results_syncs_left": 5, "results_seconds_left": 1234.5},
            "9,000 pending (5 more syncs, about 21 min)",
        ),
    ],
)
def test_pending_results_are_explained(capsys, facts, expected):
    assert f"  results: 0 archived, {expected}" in lines(capsys, **FULL, **facts)


def test_results_line_is_omitted_without_results(capsys):
    assert not any("results" in line for line in lines(capsys, **FULL))


def test_audit_difference_is_shown(capsys):
    assert lines(capsys, **FULL, audit="3 missed, found by status")[-1].endswith(
        "count audit: 3 missed, found by status"
    )


@pytest.mark.parametrize(
    "facts, expected",
    [
        ({"rejected": 1}, "1 record was rejected"),
        ({"rejected": 1200}, "1,200 records were rejected"),
        ({"rejected": 2, "dry_run": True}, "2 records would be rejected"),
    ],
)
def test_rejected_records_are_counted_in_a_sentence(facts, expected):
    assert count_rejected(RunSummary(**facts)) == expected


class Terminal(io.StringIO):
    """A terminal that may hang up."""

    has_hung_up = False

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.has_hung_up:
            raise OSError(errno.EIO, "Input/output error")
        return super().write(text)


@pytest.mark.parametrize("is_gone", [False, True])
def test_closed_terminal_does_not_raise(monkeypatch, is_gone):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("threading.excepthook", lambda _what: None)  # of the thread that draws
    with progress_bar() as observe:
        observe(RunSummary(), Progress("tasks", 1, 10))
        terminal.has_hung_up = is_gone
        observe(RunSummary(), Progress("tasks", 10, 10))
    assert "tasks" in terminal.getvalue() or is_gone


def test_exceptions_in_the_block_propagate(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.raises(ZeroDivisionError), progress_bar():
        raise ZeroDivisionError
