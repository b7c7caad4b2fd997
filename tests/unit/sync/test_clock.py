"""The source's clock: what most responses agree on; no single response is trusted."""

from __future__ import annotations

import datetime as dt

import pytest

from etl.extract.payload import Page, task_payload
from etl.sync.clock import SourceClock

NOON = dt.datetime(2026, 6, 26, 12, tzinfo=dt.UTC)
SECOND, HOUR, DAY = dt.timedelta(seconds=1), dt.timedelta(hours=1), dt.timedelta(days=1)
FAR_OFF = [dt.timedelta(days=days) for days in (-9000, -365, -2, 2, 365, 26_000)]
NEAR_OFF = [dt.timedelta(hours=hours) for hours in (-20, -1, 1, 20)]


class Machine:
    """The local clock, which advances one second per call."""

    def __init__(self, at: dt.datetime = NOON) -> None:
        self.at = at

    def __call__(self) -> dt.datetime:
        self.at += SECOND
        return self.at


def hear(clock: SourceClock, machine: Machine, *skews: dt.timedelta | None, newest=None) -> None:
    """Pass responses to the clock whose `Date` differs from the local clock by these skews."""
    for skew in skews:
        served_at = None if skew is None else machine.at + SECOND + skew
        tasks = () if newest is None else (task_payload("t", {"started_at": newest}),)
        clock.observe(Page(records=tasks, served_at=served_at))


def a_clock(newest: dt.datetime | None = None) -> tuple[SourceClock, Machine]:
    machine = Machine()
    return SourceClock(machine, newest=newest), machine


@pytest.mark.parametrize("skew", [*NEAR_OFF, dt.timedelta(0), dt.timedelta(days=-200)])
def test_consistent_responses_are_trusted_despite_skew(skew):
    clock, machine = a_clock()
    hear(clock, machine, skew, skew, skew)
    assert clock.first_served_at == NOON + SECOND + skew
    assert clock.observed_at() == NOON + 3 * SECOND + skew


@pytest.mark.parametrize("wrong", [*FAR_OFF, *NEAR_OFF])
@pytest.mark.parametrize("place", [0, 1, 2, 4])
def test_single_wrong_date_is_ignored(wrong, place):
    clock, machine = a_clock(newest=NOON - HOUR)
    skews = [dt.timedelta(0)] * 5
    skews[place] = wrong
    hear(clock, machine, *skews)
    assert clock.observed_at() <= NOON + 5 * SECOND
    assert clock.observed_at() >= NOON
    assert clock.first_served_at <= NOON + SECOND
    if place or wrong > dt.timedelta(0):
        assert clock.first_served_at == NOON + SECOND


@pytest.mark.parametrize("skew", [dt.timedelta(days=2), dt.timedelta(days=27_000)])
def test_clock_days_ahead_must_be_confirmed_by_a_task(skew):
    clock, machine = a_clock(newest=NOON - HOUR)
    hear(clock, machine, skew, skew)
    assert clock.first_served_at is None
    assert abs(clock.observed_at() - NOON) < DAY
    clock, machine = a_clock()
    hear(clock, machine, skew, skew, newest=NOON + skew - HOUR)
    assert clock.first_served_at == NOON + SECOND + skew


def test_date_earlier_than_tasks_of_its_page_is_ignored():
    clock, machine = a_clock()
    hear(clock, machine, -30 * DAY, newest=NOON - HOUR)
    assert clock.first_served_at is None
    assert clock.created_before() is None


def test_task_in_far_future_does_not_discredit_server():
    clock, machine = a_clock(newest=NOON + 9000 * DAY)
    hear(clock, machine, dt.timedelta(0), dt.timedelta(0))
    assert clock.first_served_at == NOON + SECOND


def test_local_clock_is_used_without_date_headers():
    clock, machine = a_clock()
    hear(clock, machine, None, None)
    assert clock.first_served_at is None
    assert clock.observed_at() == machine.at
    assert clock.created_before() is None


def test_delayed_response_is_dated_by_its_arrival(monkeypatch):
    """Pages are fetched ahead of time, and may wait for a long commit."""
    clock, machine = a_clock()
    hear(clock, machine, dt.timedelta(0), dt.timedelta(0))
    monkeypatch.setattr("time.monotonic", lambda: 1000.0)
    served_at = machine.at - 5 * dt.timedelta(minutes=1)
    clock.observe(Page(records=(), served_at=served_at, received_at=1000.0 - 301))
    assert clock.created_before() is not None
