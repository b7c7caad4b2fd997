"""The forecast of results that expire before they can be fetched."""

from __future__ import annotations

import datetime as dt

import pytest
from support.stored import store_result, store_task

from etl.sync.expiry_forecast import read_forecast

NOW = dt.datetime(2026, 6, 26, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture
def connection(engine):
    with engine.begin() as connection:
        yield connection


def store_waiting(connection, number: int, *, age: int) -> None:
    for place in range(number):
        store_task(
            connection,
            f"{age}-{place}",
            status="SUCCESS",
            completed_at=NOW - age * DAY,
            is_result_due=True,
        )


@pytest.mark.parametrize(
    "per_run, at_risk",
    # Ten are lost in two days and thirty more in five, after two and five syncs.
    [(100, 0), (8, 0), (7, 5), (5, 15), (4, 20), (1, 35)],
)
def test_results_too_far_back_in_the_queue_are_at_risk(connection, per_run, at_risk):
    store_waiting(connection, 10, age=27)
    store_waiting(connection, 30, age=24)
    found = read_forecast(connection, NOW, per_run=per_run, interval=DAY)
    assert (found.waiting, found.at_risk) == (40, at_risk)
    assert found.first_expires_at == dt.datetime(2026, 6, 29, tzinfo=dt.UTC)


def test_warning_names_the_first_day_whose_results_may_be_lost(connection):
    """The five results that expire a day earlier are fetched in time."""
    store_waiting(connection, 5, age=26)
    store_waiting(connection, 600, age=25)
    found = read_forecast(connection, NOW, per_run=100, interval=DAY)
    assert found.first_expires_at == dt.datetime(2026, 6, 30, tzinfo=dt.UTC)
    assert found.warning(100).startswith(
        "205 of 605 pending results may expire before a sync archives them, the first on 2026-07-01: "
    )


def test_first_result_at_risk_is_not_lost_in_the_past(connection):
    """The API may keep a result for a few hours longer than a month."""
    store_waiting(connection, 1, age=30)
    found = read_forecast(connection, NOW, per_run=100, interval=DAY)
    assert (found.at_risk, found.first_expires_at, found.first_at_risk_expires_at) == (1, NOW, NOW)


def test_already_expired_results_are_not_at_risk(connection):
    store_waiting(connection, 3, age=60)
    found = read_forecast(connection, NOW, per_run=1, interval=DAY)
    assert (found.waiting, found.at_risk, found.first_expires_at) == (3, 0, None)


def test_unavailable_results_count_as_waiting(connection):
    store_task(connection, "late", status="SUCCESS", completed_at=NOW - DAY)
    store_result(connection, "late", "unavailable", attempts=1, next_attempt_at=NOW)
    found = read_forecast(connection, NOW, per_run=1, interval=DAY)
    assert (found.waiting, found.unrequested, found.at_risk) == (1, 0, 0)


def test_results_without_completion_time_are_not_at_risk(connection):
    store_task(connection, "older-shape", status="SUCCESS", is_result_due=True)
    found = read_forecast(connection, NOW, per_run=1)
    assert (found.waiting, found.at_risk, found.interval) == (1, 0, DAY)
