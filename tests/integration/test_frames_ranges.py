"""`etl.frames`: ranges of time, chosen columns, and arguments that are refused."""

from __future__ import annotations

import datetime as dt
import re

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from support.frames import ALL, listening, read
from support.stored import NOON, after, store_history, store_result, store_task

from etl import frames
from etl.models import DETECTIONS, RUNS, SUBTITLES
from etl.views.definitions import VIEWS


def store_one_of_each(connection: sa.Connection, task_id: str, seconds: float) -> None:
    """Store rows in every table whose time is this instant."""
    moment, long_before = after(seconds), after(-1e6)
    begun = {"started_at": moment, "date_created": moment, "first_seen_at": long_before}
    ended = {"completed_at": moment, "changed_at": long_before}
    store_task(connection, task_id, status="FAILURE", **begun, **ended)
    store_task(connection, f"{task_id} waits", first_seen_at=moment, date_created=moment)
    store_task(connection, f"{task_id} has no end", status="FAILURE", **begun, changed_at=moment)
    store_history(connection, task_id, (seconds, "discovered", "FAILURE"))
    connection.execute(sa.insert(RUNS).values(started_at=moment, mode="full", status="succeeded"))
    for each in (task_id, f"{task_id} has no end"):
        store_result(connection, each, "unavailable", next_attempt_at=moment)
        connection.execute(sa.insert(SUBTITLES).values(task_id=each, position=0))
        connection.execute(sa.insert(DETECTIONS).values(task_id=each, position=0))


# The number of rows for one instant.
TIMED = {
    **dict.fromkeys(("task_history", "runs", "status_spans", "in_flight", "results_expiring"), 1),
    **dict.fromkeys(("results", "subtitles", "detections", "failures", "video_lengths"), 2),
    **dict.fromkeys(("tasks", "task_timeline"), 3),
}

MICROSECOND = 1e-6


@pytest.mark.parametrize("name, rows", TIMED.items())
def test_a_range_includes_its_start_and_excludes_its_end(engine, name, rows):
    with engine.begin() as connection:
        for number, seconds in enumerate((-MICROSECOND, 0, 10 - MICROSECOND, 10), start=1):
            store_one_of_each(connection, str(number), seconds)

    def moments(**bounds: dt.datetime) -> list[str]:
        frame = read(name, engine, **bounds)
        return sorted(str(value).split()[0] for value in frame["run_id" if name == "runs" else "task_id"])

    assert moments(since=NOON, until=after(10)) == ["2"] * rows + ["3"] * rows
    assert moments(since=NOON) == ["2"] * rows + ["3"] * rows + ["4"] * rows
    assert moments(until=NOON) == ["1"] * rows
    assert moments(since=NOON, until=NOON) == []


def test_a_day_is_in_the_range_that_contains_its_start(engine):
    with engine.begin() as connection:
        for day in (24, 25, 26, 27):
            store_task(connection, str(day), date_created=dt.datetime(2026, 6, day, 18, tzinfo=dt.UTC))

    def days(**bounds: str) -> list[int]:
        return list(frames.view("task_daily", engine, **bounds)["day"].dt.day)

    assert days(since="2026-06-25", until="2026-06-27") == [25, 26]
    assert days(since="2026-06-25T00:00:01", until="2026-06-27T00:00:01") == [26, 27]
    assert days(until="9999-12-31T23:59") == [24, 25, 26, 27]


@pytest.mark.parametrize(
    "written, hour",
    [
        (NOON, 12),
        (NOON.replace(tzinfo=None), 12),
        (NOON.astimezone(dt.timezone(dt.timedelta(hours=14))), 12),
        ("2026-06-26T12:00:00Z", 12),
        ("2026-06-26 12:00", 12),
        ("20260626T083000-0330", 12),
        (pd.Timestamp("2026-06-26T21:00", tz="Asia/Tokyo"), 12),
        (pd.Timestamp("2026-06-26T11:59:59.999999001"), 12),
        (np.datetime64("2026-06-26T12"), 12),
        (dt.date(2026, 6, 26), 0),
        ("2026-06-26", 0),
    ],
    ids=str,
)
def test_since_and_until_accept_many_types_and_formats(engine, written, hour):
    seconds = (hour - 12) * 3600
    with engine.begin() as connection:
        store_task(connection, "before", started_at=after(seconds - MICROSECOND))
        store_task(connection, "then", started_at=after(seconds))
    assert list(frames.tasks(engine, since=written)["task_id"]) == ["then"]
    assert list(frames.tasks(engine, until=written)["task_id"]) == ["before"]


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"columns": ["status", "state"]},
            r"^tasks has no column 'state': choose from task_id, task_name, status, ",
        ),
        ({"columns": ["payload_hash"]}, "no column 'payload_hash'"),
        ({"columns": "status"}, r"write columns=\['status'\]"),
        ({"columns": []}, "at least one column"),
        ({"columns": ["status", "status"]}, "none twice"),
        ({"since": "yesterday"}, "^since='yesterday' is not a date or time"),
        ({"until": 20260626}, "^until=20260626 is not a date or time"),
        ({"since": pd.NaT}, "^since=NaT is not a date or time"),
        (
            {"since": "2026-06-27", "until": "2026-06-26"},
            "^until=2026-06-26 is before since=2026-06-27",
        ),
        ({"chunksize": 0}, "^chunksize=0 is not a number of rows: write an integer from 1 to 2,147,483,647"),
        ({"chunksize": 1.5}, "^chunksize=1.5 is not a number of rows"),
        ({"chunksize": "a"}, "^chunksize='a' is not a number of rows"),
        ({"chunksize": 2**31}, "^chunksize=2147483648 is not a number of rows"),
        ({"columns": [["status"]]}, r"^columns=\[\['status'\]\] must be a list of names"),
        ({"columns": 5}, "^columns=5 must be a list of names"),
        ({"chunksize": True}, "^chunksize=True is not a number of rows"),
        ({"dtype_backend": []}, r"^dtype_backend=\[\] is unknown"),
    ],
)
def test_invalid_arguments_are_refused_immediately(options, message):
    no_database = "sqlite:////nowhere/at/all.db"
    with pytest.raises(ValueError, match=message):
        frames.tasks(no_database, **{"chunksize": 5, **options})
    if "chunksize" not in options:
        with pytest.raises(ValueError, match=message):
            frames.tasks(no_database, **options)


def test_freshness_is_in_the_range_of_the_last_sync_that_succeeded(engine):
    assert len(frames.view("freshness", engine)) == 1
    assert len(frames.view("freshness", engine, since="2026-01-01")) == 0
    with engine.begin() as connection:
        for seconds, status in ((0, "succeeded"), (60, "failed")):
            run = {"started_at": after(seconds), "mode": "incremental", "status": status}
            connection.execute(sa.insert(RUNS).values(run))
    assert len(frames.view("freshness", engine, since=NOON)) == 1
    assert len(frames.view("freshness", engine, since=after(1))) == 0


def test_a_view_that_does_not_exist_or_has_no_time_is_refused(migrated_url):
    with pytest.raises(ValueError, match="no view 'tasks': choose from task_timeline, task_daily, "):
        frames.view("tasks", migrated_url)
    instead = {name: view.unaggregated for name, view in VIEWS.items() if view.unaggregated}
    assert instead.keys() == {"task_durations", "task_waits", "status_transitions"}
    for name, other in instead.items():
        with pytest.raises(ValueError, match=f"{name} has no time column .* filter {other} instead"):
            frames.view(name, migrated_url, since="2026-06-26")


def test_only_the_requested_columns_are_read_in_the_requested_order(engine):
    for name in ALL:
        asked = list(read(name, engine))[:0:-2]
        sent: list[str] = []
        with listening(engine, "before_cursor_execute", sent.append):
            assert list(read(name, engine, columns=asked)) == asked
        selected = sent[-1].replace('"', "").split(" FROM ")[0].removeprefix("SELECT ")
        assert re.findall(r" AS (\w+)(?:,|$)", selected) == asked
