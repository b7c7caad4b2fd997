"""Outcomes, processing minutes, waits, retries, kinds of errors, and freshness."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest
from sqlalchemy import insert, update
from support.stored import NOON, after, read_view, store_result, store_task

from etl import views
from etl.catalog import list_catalog
from etl.models import HISTORY, RUNS, STATE, SUBTITLES
from etl.queries import saved_queries

DAY = 86_400
ROOT = Path(__file__).parents[2]


@pytest.fixture
def connection(engine):
    with engine.begin() as connection:
        yield connection


def test_outcomes_are_counted_by_day_and_host(connection):
    day = NOON.date().isoformat()
    for number, status in enumerate(("SUCCESS", "SUCCESS", "FAILURE", "REVOKED")):
        store_task(connection, f"t{number}", status=status, completed_at=NOON, url="https://a.example/x")
    store_task(connection, "alone", status="REVOKED", changed_at=after(DAY))
    store_task(connection, "open", status="STARTED")
    counts = ("day", "host", "finished", "succeeded", "failed", "revoked", "success_rate")
    rows = read_view(connection, "outcomes", *counts)
    assert rows == [
        (day, "a.example", 4, 2, 1, 1, pytest.approx(2 / 3)),
        (after(DAY).date().isoformat(), None, 1, 0, 0, 1, None),
    ]


@pytest.mark.parametrize(
    "url, host",
    [
        ("https://A.Example:8443/x?y=1", "a.example"),
        ("http://user:p@ss@a.example/x", "a.example"),
        ("http://@@a.example", "a.example"),
        ("http://[2001:DB8::1]:80/x", "[2001:db8::1]"),
        ("http://a.example?u=b@c", "a.example"),
        ("http://a.example#b@c/d", "a.example"),
        ("http://a.example/b@c://d", "a.example"),
        ("s3+x://bucket", "bucket"),
        ("http://:80/", None),
        ("http://@/", None),
        ("http:///x", None),
        ("://x", None),
        ("a.example/r?u=http://evil.example/", None),
        ("r?u=http://evil.example/", None),
        ("#http://evil.example/", None),
        ("/r?u=http://evil.example/", None),
        ("data:text/plain,http://evil.example/x", None),
        ("data:text,http://evil.example/x", None),
        ("//a.example/x", None),
        ("a.example", None),
        ("", None),
        (None, None),
    ],
)
def test_host_is_not_taken_from_an_embedded_url(connection, url, host):
    store_task(connection, status="SUCCESS", completed_at=NOON, url=url)
    assert read_view(connection, "outcomes", "host") == [(host,)]


def test_minutes_are_processing_time_and_not_billed_time(connection):
    day = NOON.date().isoformat()
    store_task(connection, "a", status="SUCCESS", completed_at=NOON, total_time_sec=90)
    store_task(connection, "b", status="FAILURE", completed_at=NOON, total_time_sec=30)
    store_task(connection, "c", status="REVOKED", completed_at=NOON)
    store_task(connection, "open", status="STARTED", total_time_sec=600)
    columns = ("day", "tasks", "processed_minutes", "succeeded_minutes")
    assert read_view(connection, "minutes_daily", *columns) == [(day, 3, 2.0, 1.5)]


def test_a_video_is_at_least_as_long_as_its_transcript(connection):
    """The latest end of any subtitle counts, whatever their order in the result."""
    ends = {"a": (2.5, 61.25, 60.0), "b": (3.0, None)}
    for task_id, each in ends.items():
        rows = [
            {"task_id": task_id, "position": place, "start_seconds": 0.5, "end_seconds": end}
            for place, end in enumerate(each)
        ]
        connection.execute(insert(SUBTITLES), rows)
    assert read_view(connection, "video_lengths", "task_id", "lines", "at_least_seconds") == [
        ("a", 3, 61.25),
        ("b", 2, 3.0),
    ]


def test_nothing_calls_processing_time_billed_time():
    described = " ".join(views.comment_of(name) for name in views.NAMES)
    asked = " ".join(f"{each.title} {each.note} {each.sql}" for each in saved_queries())
    columns = {column for each in list_catalog() for column in each.columns}
    assert not [column for column in columns if "bill" in column or "cost" in column]
    assert not re.search(r"\bbilled\b|billed_|what a minute costs", f"{described} {asked}")
    told = [ROOT / "README.md", *ROOT.glob("docs/*.*"), *ROOT.glob("notebooks/*.ipynb")]
    for path in [*told, *ROOT.glob("etl/report/*.py"), *ROOT.glob("etl/report/templates/*")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"billed[_ ]minutes|minutes[_ ]billed|by the minutes they ran", text), path


def test_task_waits_agree_with_the_timeline(connection):
    for number, seconds in enumerate((0, 10, 20, 30)):
        store_task(connection, f"t{number}", date_created=NOON, started_at=after(seconds))
    store_task(connection, "waiting", date_created=NOON)
    assert read_view(connection, "task_waits", "n", "mean_seconds", "p50_seconds") == [(4, 15.0, 15.0)]


def test_retries_and_returns_to_pending_are_counted_separately(connection):
    store_task(connection, "t", status="SUCCESS")
    store_task(connection, "straight", status="SUCCESS")
    steps = ["PENDING", "STARTED", "RETRY", "RETRY", "STARTED", "PENDING", "STARTED", "SUCCESS"]
    for number, status in enumerate(steps):
        connection.execute(
            insert(HISTORY).values(
                task_id="t",
                run_id=1,
                observed_at=after(number),
                event="changed" if number else "discovered",
                status=status,
                previous_status=steps[number - 1] if number else None,
            )
        )
    columns = ("task_id", "status", "retried", "fell_back", "last_at")
    assert read_view(connection, "retries", *columns) == [("t", "SUCCESS", 1, 1, after(5))]


def test_errors_are_grouped_by_their_kind(connection):
    errors = ["Too large: 3 GB", "Too large: 4 GB", "No stream", "", None]
    for number, error in enumerate(errors):
        store_task(connection, f"t{number}", status="FAILURE", completed_at=after(number))
        store_result(connection, f"t{number}", "archived", error=error)
    columns = ("error_kind", "tasks", "first_at", "last_at")
    assert read_view(connection, "failure_kinds", *columns) == [
        (None, 2, after(3), after(4)),
        ("No stream", 1, after(2), after(2)),
        ("Too large", 2, after(0), after(1)),
    ]


def test_a_task_without_a_change_for_an_hour_is_a_stall(connection):
    now, hour = dt.datetime.now(dt.UTC), dt.timedelta(hours=1)
    store_task(connection, "a", status="STARTED", changed_at=now - 2 * hour, task_name="transcription")
    store_task(connection, "b", status="STARTED", changed_at=now - hour / 2, task_name="transcription")
    store_task(connection, "c", status="SUCCESS", changed_at=now - 2 * hour, task_name="transcription")
    assert read_view(connection, "stalls", "task_id", "usual_seconds") == [("a", None)]
    connection.exec_driver_sql("UPDATE tasks SET total_time_sec = 60 WHERE task_id = 'c'")
    assert read_view(connection, "stalls", "task_id", "usual_seconds") == [("a", 60.0)]
    store_task(connection, "untyped", status="STARTED", changed_at=now - 2 * hour)
    store_task(connection, "ran, untyped", status="SUCCESS", total_time_sec=7)
    assert read_view(connection, "stalls", "task_id", "usual_seconds") == [("a", 60.0), ("untyped", 7.0)]


def test_freshness_is_one_row_from_the_start(connection):
    columns = ("synced_at", "watermark", "present_tasks", "failed_since")
    assert read_view(connection, "freshness", *columns) == [(None, None, 0, 0)]
    runs = [("failed", "full"), ("succeeded", "full"), ("succeeded", "partial"), ("failed", "incremental")]
    for number, (status, mode) in enumerate(runs):
        connection.execute(insert(RUNS).values(started_at=after(number), status=status, mode=mode))
    connection.execute(update(STATE).values(watermark=after(1), present_tasks=7))
    assert read_view(connection, "freshness", *columns) == [(after(1), after(1), 7, 1)]
