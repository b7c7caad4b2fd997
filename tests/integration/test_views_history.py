"""How long tasks kept a status, and which status followed."""

from __future__ import annotations

import pytest
from support.stored import after, read_view, store_history

SPAN = ("task_id", "valid_from", "valid_to", "status", "seconds")
STEP = ("from_status", "to_status", "transitions", "tasks", "mean_seconds")


@pytest.fixture
def connection(engine):
    with engine.begin() as connection:
        yield connection


def test_rows_of_one_status_are_one_span_and_the_last_is_open(connection):
    store_history(
        connection, "t",
        (0, "discovered", "PENDING"), (1.5, "changed", "STARTED"), (3, "changed", "STARTED"),
        (4, "changed", "STARTED"), (10, "changed", "SUCCESS"),
    )  # fmt: skip
    assert read_view(connection, "status_spans", *SPAN) == [
        ("t", after(0), after(1.5), "PENDING", 1.5),
        ("t", after(1.5), after(10), "STARTED", 8.5),
        ("t", after(10), None, "SUCCESS", None),
    ]


def test_a_status_that_returns_is_a_new_span(connection):
    """A task runs in stages and goes from STARTED back to PENDING."""
    store_history(
        connection, "t", (0, "discovered", "STARTED"), (2, "changed", "PENDING"), (5, "changed", "STARTED")
    )
    assert read_view(connection, "status_spans", *SPAN) == [
        ("t", after(0), after(2), "STARTED", 2),
        ("t", after(2), after(5), "PENDING", 3),
        ("t", after(5), None, "STARTED", None),
    ]


def test_removal_ends_a_span_and_reappearance_starts_one(connection):
    store_history(
        connection, "t",
        (0, "discovered", "SUCCESS"), (4, "removed", "SUCCESS"), (9, "reappeared", "SUCCESS"),
    )  # fmt: skip
    store_history(connection, "gone", (1, "discovered", "STARTED"), (3, "removed", "STARTED"))
    assert read_view(connection, "status_spans", *SPAN) == [
        ("gone", after(1), after(3), "STARTED", 2),
        ("t", after(0), after(4), "SUCCESS", 4),
        ("t", after(9), None, "SUCCESS", None),
    ]


def test_a_null_status_is_treated_like_any_other(connection):
    store_history(
        connection, "t",
        (0, "discovered", None), (1, "changed", None), (2, "changed", "STARTED"), (3, "changed", None),
    )  # fmt: skip
    assert read_view(connection, "status_spans", *SPAN) == [
        ("t", after(0), after(2), None, 2),
        ("t", after(2), after(3), "STARTED", 1),
        ("t", after(3), None, None, None),
    ]


def test_spans_of_different_tasks_are_separate(connection):
    """The rows of the tasks are interleaved in the table."""
    store_history(connection, "a", (0, "discovered", "STARTED"))
    store_history(connection, "b", (1, "discovered", "STARTED"))
    store_history(connection, "a", (2, "changed", "SUCCESS"))
    assert read_view(connection, "status_spans", *SPAN) == [
        ("a", after(0), after(2), "STARTED", 2),
        ("a", after(2), None, "SUCCESS", None),
        ("b", after(1), None, "STARTED", None),
    ]


def test_equal_times_are_ordered_by_history_id(connection):
    store_history(connection, "t", (0, "discovered", "PENDING"), (0, "changed", "STARTED"))
    rows = read_view(connection, "status_spans", "history_id", "status", "seconds")
    assert [(status, seconds) for _, status, seconds in rows] == [("PENDING", 0), ("STARTED", None)]


def test_transitions_count_changes_and_tasks(connection):
    """`a` changes from PENDING to STARTED twice, after 2 and 4 seconds; `b` once, after 3."""
    store_history(
        connection, "a",
        (0, "discovered", "PENDING"), (2, "changed", "STARTED"), (3, "changed", "PENDING"),
        (7, "changed", "STARTED"), (8, "changed", "STARTED"),
    )  # fmt: skip
    store_history(connection, "b", (0, "discovered", "PENDING"), (3, "changed", "STARTED"))
    store_history(connection, "c", (0, "discovered", None), (1, "changed", "SUCCESS"))
    assert read_view(connection, "status_transitions", *STEP) == [
        (None, "SUCCESS", 1, 1, 1),
        ("PENDING", "STARTED", 3, 2, 3),
        ("STARTED", "PENDING", 1, 1, 1),
    ]


def test_a_removal_is_not_a_transition(connection):
    store_history(
        connection, "t",
        (0, "discovered", "STARTED"), (4, "removed", "STARTED"), (9, "reappeared", "SUCCESS"),
    )  # fmt: skip
    assert read_view(connection, "status_transitions", *STEP) == []
