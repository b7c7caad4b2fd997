"""Creation times, waits and durations are the same on both databases, to the last digit."""

from __future__ import annotations

import datetime as dt

import pytest
from support.stored import after, read_view, store_task


@pytest.fixture
def connection(engine):
    with engine.begin() as connection:
        yield connection


@pytest.mark.parametrize(
    "known, created, error",
    [
        pytest.param({"date_created": 5, "created_after": 0, "created_before": 2}, 5, 0, id="stated"),
        pytest.param({"created_after": 10, "created_before": 40, "started_at": 50}, 25, 15, id="between"),
        pytest.param({"created_after": 10, "created_before": 10}, 10, 0, id="a-span-of-nothing"),
        pytest.param({"created_before": 40, "started_at": 50}, 40, None, id="an-end"),
        pytest.param({"created_after": 10, "started_at": 50}, 10, None, id="a-beginning"),
        pytest.param({"started_at": 50}, 50, None, id="a-start"),
        pytest.param({"completed_at": 50}, None, None, id="nothing"),
        pytest.param({"created_after": 40, "created_before": 10}, 25, None, id="a-contradiction"),
    ],
)
def test_creation_time_is_the_best_known_estimate(connection, known, created, error):
    store_task(connection, **{name: after(seconds) for name, seconds in known.items()})
    expected = (after(created) if created is not None else None, error)
    assert read_view(connection, "task_timeline", "created_at", "created_error_seconds") == [expected]


def test_the_middle_of_an_odd_interval_is_truncated_to_the_microsecond(connection):
    store_task(connection, created_after=after(0.000001), created_before=after(0.000004))
    (row,) = read_view(connection, "task_timeline", "created_at", "created_error_seconds")
    assert row == (after(0.000002), 0.0000015)


@pytest.mark.parametrize(
    "columns, wait, duration",
    [
        pytest.param({"date_created": 0, "started_at": 2.25, "completed_at": 5}, 2.25, 2.75, id="measured"),
        pytest.param({"created_after": 0, "created_before": 2, "started_at": 4}, 3, None, id="estimated"),
        pytest.param({"created_before": 2, "started_at": 4}, None, None, id="waited-when-first-seen"),
        pytest.param({"started_at": 0, "completed_at": 5, "total_time_sec": 3.71}, None, 3.71, id="stated"),
        pytest.param({"date_created": 3, "started_at": 2, "completed_at": 1}, None, None, id="backwards"),
        pytest.param({"date_created": 3}, None, None, id="waiting"),
        pytest.param({"started_at": 0.9999996, "completed_at": 2}, None, 1, id="rounding-is-exact"),
    ],
)
def test_wait_and_duration_are_never_negative(connection, columns, wait, duration):
    times = {name: value if name.endswith("sec") else after(value) for name, value in columns.items()}
    store_task(connection, **times)
    assert read_view(connection, "task_timeline", "wait_seconds", "duration_seconds") == [(wait, duration)]


def test_microseconds_are_not_rounded_to_milliseconds(connection):
    """SQLite's own date functions would round to 0.000 and to the next minute."""
    store_task(connection, started_at=after(59.999600), completed_at=after(60.000123))
    assert read_view(connection, "task_timeline", "duration_seconds") == [(0.000523,)]


def test_a_removed_task_stays_on_the_timeline_with_its_removal_time(connection):
    store_task(connection, "gone", status="SUCCESS", removed_at=after(7))
    assert read_view(connection, "task_timeline", "task_id", "status", "removed_at") == [
        ("gone", "SUCCESS", after(7))
    ]


def test_days_are_utc_days_of_the_creation(connection):
    midnight = dt.datetime(2026, 6, 27, tzinfo=dt.UTC)
    second = dt.timedelta(seconds=1)
    store_task(connection, "a", task_name="x", status="SUCCESS", date_created=midnight - second)
    store_task(
        connection, "b", task_name="x", status="SUCCESS", date_created=midnight - second, total_time_sec=2.5
    )
    store_task(connection, "c", task_name="x", status="FAILURE", date_created=midnight, total_time_sec=1)
    store_task(connection, "d", task_name="x", status="FAILURE", date_created=midnight, total_time_sec=0.1)
    store_task(connection, "e")

    columns = ("day", "task_name", "status", "tasks", "total_seconds")
    assert read_view(connection, "task_daily", *columns) == [
        (None, None, None, 1, 0),
        ("2026-06-26", "x", "SUCCESS", 2, 2.5),
        ("2026-06-27", "x", "FAILURE", 2, 1.1),
    ]


def test_percentiles_interpolate_between_neighbours(connection):
    """The 95th of 10, 20, 30, 40 lies at place 2.85 of 0..3: 30 + 0.85 * 10."""
    for number, duration in enumerate([30, 10, 40, 20]):
        store_task(connection, f"n{number}", task_name="mod", category="nsfw", total_time_sec=duration)
    store_task(connection, "single", task_name="mod", category="sport", total_time_sec=7.1)
    for number in range(3):
        store_task(connection, f"same{number}", task_name="transcription", total_time_sec=0.1)
    store_task(connection, "unknown", task_name="transcription")

    columns = ("task_name", "category", "n", "mean_seconds", "p50_seconds", "p95_seconds", "p99_seconds")
    assert read_view(connection, "task_durations", *columns) == [
        ("mod", "nsfw", 4, 25, 25, 38.5, 39.7),
        ("mod", "sport", 1, 7.1, 7.1, 7.1, 7.1),
        ("transcription", None, 3, 0.1, 0.1, 0.1, 0.1),
    ]


def test_the_views_of_an_empty_database_are_empty(connection):
    for name in ("task_timeline", "task_daily", "task_durations"):
        assert connection.exec_driver_sql(f"SELECT * FROM {name}").all() == []
