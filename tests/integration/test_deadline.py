"""Which results will be lost before their turn comes: counted day by day."""

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
    # Ten are lost in two days, thirty more in five: by then two and five syncs will have come.
    [(100, 0), (8, 0), (7, 5), (5, 15), (4, 20), (1, 35)],
)
def test_what_stands_too_far_behind_is_at_risk(connection, per_run, at_risk):
    store_waiting(connection, 10, age=27)
    store_waiting(connection, 30, age=24)
    found = read_forecast(connection, NOW, per_run=per_run, interval=DAY)
    assert (found.waiting, found.at_risk) == (40, at_risk)
    assert found.first_lost_at == dt.datetime(2026, 6, 29, tzinfo=dt.UTC)


def test_what_was_lost_before_is_no_news(connection):
    store_waiting(connection, 3, age=60)
    found = read_forecast(connection, NOW, per_run=1, interval=DAY)
    assert (found.waiting, found.at_risk, found.first_lost_at) == (3, 0, None)


def test_what_was_asked_for_in_vain_waits_too(connection):
    store_task(connection, "late", status="SUCCESS", completed_at=NOW - DAY)
    store_result(connection, "late", "unavailable", attempts=1)
    found = read_forecast(connection, NOW, per_run=1, interval=DAY)
    assert (found.waiting, found.never_asked, found.at_risk) == (1, 0, 0)


def test_where_no_time_is_known_nothing_is_foretold(connection):
    store_task(connection, "older-shape", status="SUCCESS", is_result_due=True)
    found = read_forecast(connection, NOW, per_run=1)
    assert (found.waiting, found.at_risk, found.interval) == (1, 0, DAY)
