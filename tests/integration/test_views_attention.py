"""Views of what needs attention: failures, tasks in flight, results that expire soon."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import text
from support.stored import after, read_view, store_result, store_task

DAY = dt.timedelta(days=1)


@pytest.fixture
def connection(engine):
    with engine.begin() as connection:
        yield connection


def test_failures_show_the_error_if_the_result_was_fetched(connection):
    store_task(connection, "a", status="FAILURE", url="https://x/a.mp4", completed_at=after(3))
    store_result(connection, "a", "archived", error="no audio track")
    store_task(connection, "b", status="FAILURE", changed_at=after(5))
    store_task(connection, "c", status="SUCCESS")
    assert read_view(connection, "failures", "task_id", "failed_at", "error", "url") == [
        ("a", after(3), "no audio track", "https://x/a.mp4"),
        ("b", after(5), None, None),
    ]


def test_in_flight_tasks_are_neither_terminal_nor_removed(connection):
    for status in ("PENDING", "RECEIVED", "STARTED", "RETRY", "A_NEW_ONE", None):
        store_task(connection, f"{status}", status=status)
    for status in ("SUCCESS", "FAILURE", "REVOKED"):
        store_task(connection, status, status=status)
    store_task(connection, "gone", status="STARTED", removed_at=after(1))
    assert read_view(connection, "in_flight", "task_id", "status") == [
        ("A_NEW_ONE", "A_NEW_ONE"), ("None", None), ("PENDING", "PENDING"),
        ("RECEIVED", "RECEIVED"), ("RETRY", "RETRY"), ("STARTED", "STARTED"),
    ]  # fmt: skip


def test_age_counts_from_the_creation_or_the_first_observation(connection):
    now = dt.datetime.now(dt.UTC)
    hours = dt.timedelta(hours=1)
    seen = {"first_seen_at": now - 2 * hours, "changed_at": now - hours, "status": "STARTED"}
    store_task(connection, "created", date_created=now - 3 * hours, **seen)
    store_task(connection, "seen", **seen)
    rows = read_view(connection, "in_flight", "task_id", "age_seconds", "unchanged_seconds")
    ages = {task_id: (age, unchanged) for task_id, age, unchanged in rows}
    assert ages["created"] == pytest.approx((10_800, 3_600), abs=30)
    assert ages["seen"] == pytest.approx((7_200, 3_600), abs=30)


def test_a_result_expires_thirty_days_after_the_completion(connection):
    completed = dt.datetime.now(dt.UTC).replace(microsecond=7) - 20 * DAY
    store_task(connection, "t", status="SUCCESS", completed_at=completed, is_result_due=True)
    ((task_id, expires_at, days_left),) = read_view(
        connection, "results_expiring", "task_id", "expires_at", "days_left"
    )
    assert (task_id, expires_at) == ("t", completed + 30 * DAY)
    assert days_left == pytest.approx(10, abs=0.001)


def test_only_results_that_can_still_be_fetched_expire(connection):
    store_task(connection, "never-asked", status="SUCCESS", removed_at=after(1), is_result_due=True)
    for state in ("unavailable", "archived", "expired"):
        store_task(connection, state, status="FAILURE", completed_at=after(0))
        next_attempt_at = after(60) if state == "unavailable" else None
        store_result(connection, state, state, attempts=2, next_attempt_at=next_attempt_at)
    store_task(connection, "cancelled", status="REVOKED")
    store_task(connection, "running", status="STARTED")
    assert read_view(connection, "results_expiring", "task_id", "state", "attempts", "expires_at") == [
        ("never-asked", None, None, None),
        ("unavailable", "unavailable", 2, after(0) + 30 * DAY),
    ]


def test_in_flight_tasks_are_found_by_their_index(connection):
    """Few tasks are in flight; reading them must not take longer as the history grows."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        connection.execute(text("SET LOCAL enable_bitmapscan = off"))
        explain = "EXPLAIN SELECT * FROM in_flight"
    else:
        explain = "EXPLAIN QUERY PLAN SELECT * FROM in_flight"
    plan = "\n".join(str(row) for row in connection.execute(text(explain)))
    assert "ix_tasks_in_flight" in plan


def test_the_status_spans_of_a_task_are_read_from_its_rows_only(connection):
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        explain, found = "EXPLAIN", "Index Cond: (task_id = 't'::text)"
    else:
        explain, found = "EXPLAIN QUERY PLAN", "ix_task_history_task_id (task_id=?)"
    query = text(f"{explain} SELECT * FROM status_spans WHERE task_id = 't'")
    assert found in "\n".join(str(row) for row in connection.execute(query))
