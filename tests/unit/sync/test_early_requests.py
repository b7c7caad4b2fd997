"""Requests that are sent early: at the same time, each answered once, and only if it is asked."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from support.processes import wait_until

from etl.errors import NotFound
from etl.extract.payload import Page
from etl.sync.early_requests import EarlyRequests, ListRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS = 10.0
FILTERS = [{"date_created": f"200{number}-01-01T00:00:00Z"} for number in range(3)]


class CountingSource:
    """A list whose count is the number of the request; it can wait for several at a time, or fail."""

    concurrency = 4

    def __init__(self, together: int = 1, error: Exception | None = None) -> None:
        self.requests: list[ListRequest] = []
        self._together, self._error = threading.Barrier(together), error

    def fetch_page(
        self, filters: Mapping[str, str], *, page: int, limit: int, retry_seconds: float | None = None
    ) -> Page:
        assert retry_seconds is None
        self.requests.append(ListRequest(filters, page, limit))
        number = len(self.requests)
        self._together.wait(SECONDS)
        if self._error is not None:
            raise self._error
        return Page(records=(), count=number)

    def fetch_detail(self, task_id: str) -> None:
        raise NotImplementedError(task_id)


def ask(source: EarlyRequests, filters: dict[str, str], limit: int = 1) -> int | None:
    return source.fetch_page(filters, page=1, limit=limit).count


def test_early_requests_wait_at_the_same_time():
    inner = CountingSource(together=3)
    source = EarlyRequests(inner)
    with source.sent([ListRequest(filters) for filters in FILTERS]):
        counts = {ask(source, dict(filters)) for filters in FILTERS}
    assert counts == {1, 2, 3}


def test_an_early_request_is_answered_once():
    inner = CountingSource()
    source = EarlyRequests(inner)
    with source.sent([ListRequest(FILTERS[0])]):
        assert [ask(source, FILTERS[0]), ask(source, FILTERS[0])] == [1, 2]


@pytest.mark.parametrize("filters, limit", [(FILTERS[1], 1), (FILTERS[0], 2), ({}, 1)])
def test_other_parameters_are_another_request(filters, limit):
    inner = CountingSource()
    source = EarlyRequests(inner)
    with source.sent([ListRequest(FILTERS[0])]):
        wait_until(lambda: len(inner.requests) == 1, "the early request")
        assert ask(source, filters, limit) == 2
        assert ask(source, FILTERS[0]) == 1
    assert inner.requests[-1] == ListRequest(filters, 1, limit)


def test_an_answer_that_was_not_asked_for_is_forgotten():
    """It would be out of date."""
    inner = CountingSource()
    source = EarlyRequests(inner)
    with source.sent([ListRequest(FILTERS[0]), ListRequest(FILTERS[1])]):
        wait_until(lambda: len(inner.requests) == 2, "both requests")
    assert ask(source, FILTERS[1]) == 3


def test_an_error_is_raised_where_the_answer_is_needed():
    source = EarlyRequests(CountingSource(error=NotFound(404, "/streaming/ai/tasks")))
    with source.sent([ListRequest(FILTERS[0]), ListRequest(FILTERS[1])]), pytest.raises(NotFound):
        ask(source, FILTERS[0])
