"""A result is pending if a later sync requests it: all who count pending results agree on that."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from support.stored import read_view, store_result, store_task

from etl.load.due_results import due_results
from etl.models import ResultState
from etl.sync.expiry_forecast import read_forecast
from etl.sync.status import read_status

DAY = dt.timedelta(days=1)


@pytest.fixture
def connection(engine):
    with engine.begin() as connection:
        yield connection


@pytest.mark.parametrize("state", [None, *ResultState])
def test_sync_status_and_forecast_agree_on_pending_results(connection, state):
    now = dt.datetime.now(dt.UTC)
    for status, is_result_due, removed_at, next_attempt_at in itertools.product(
        ("SUCCESS", "FAILURE", "STARTED"), (False, True), (None, now), (None, now - DAY, now + DAY)
    ):
        with connection.begin_nested() as savepoint:
            store_task(
                connection,
                status=status,
                completed_at=now - DAY,
                removed_at=removed_at,
                is_result_due=is_result_due,
            )
            if state is not None:
                store_result(connection, "t", state, attempts=1, next_attempt_at=next_attempt_at)
            requested = {due.task_id for due in due_results(connection, now, 10, include_early=True)}
            case = (status, is_result_due, removed_at, next_attempt_at)
            assert {row[0] for row in read_view(connection, "results_expiring", "task_id")} == requested, case
            assert read_status(connection).results_waiting == len(requested), case
            assert read_forecast(connection, now, per_run=1).waiting == len(requested), case
            savepoint.rollback()


def test_result_of_a_task_that_ran_again_is_pending_until_it_is_requested(connection):
    now = dt.datetime.now(dt.UTC)
    store_task(connection, status="SUCCESS", completed_at=now, is_result_due=True)
    store_result(connection, "t", "archived", attempts=3)
    columns = ("task_id", "state", "attempts", "next_attempt_at")
    assert read_view(connection, "results_expiring", *columns) == [("t", None, None, None)]
    forecast = read_forecast(connection, now, per_run=1)
    assert (forecast.waiting, forecast.unrequested) == (1, 1)
