"""When the turns of `watch` are due, by a clock that a test moves."""

from __future__ import annotations

import datetime as dt

import pytest

from etl.cli.schedule import Schedule, seconds_since_boot


class Clock:
    """A clock that only sleeping moves, a little further than asked for; and how long each nap was."""

    def __init__(self, *, late: float = 0.0) -> None:
        self.now, self.naps, self._late = 1000.0, [], late

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.naps.append(seconds)
        self.now += seconds + self._late


def starts(clock: Clock, every: float, turns: list[float]) -> list[float]:
    """Give when each turn starts, from the first, if they take so long."""
    schedule = Schedule(dt.timedelta(seconds=every), clock=clock, sleep=clock.sleep)
    found = []
    for seconds in turns:
        found.append(round(clock.now - 1000, 6))
        clock.now += seconds
        schedule.wait()
    return found


def test_turns_start_at_a_fixed_distance_whenever_one_ends():
    assert starts(Clock(), 300, [1, 299, 0, 120, 1]) == [0, 300, 600, 900, 1200]


def test_a_machine_that_wakes_late_does_not_drift():
    clock = Clock(late=0.5)
    assert starts(clock, 10, [1] * 100)[-1] < 10 * 99 + 1


def test_a_turn_that_takes_longer_is_followed_at_once_and_by_one_alone():
    assert starts(Clock(), 300, [1000, 1, 1, 1]) == [0, 1000, 1300, 1600]


def test_turns_that_all_take_longer_follow_each_other():
    assert starts(Clock(), 1, [5, 5, 5]) == [0, 5, 10]


def test_after_a_suspension_there_is_one_turn_and_no_burst():
    clock = Clock()
    suspensions = [8 * 3600, 0]

    def sleep_through(seconds: float) -> None:
        clock.sleep(seconds)
        clock.now += suspensions.pop(0) if suspensions else 0

    schedule = Schedule(dt.timedelta(minutes=5), clock=clock, sleep=sleep_through)
    schedule.wait()
    assert clock.now - 1000 < 8 * 3600 + 60, "it is noticed soon after the machine wakes"
    for _ in range(3):
        before = clock.now
        schedule.wait()
        assert clock.now - before == pytest.approx(300)


def test_a_day_is_waited_for_in_short_naps():
    clock = Clock()
    starts(clock, 86_400, [1, 1])
    assert max(clock.naps) <= 60


def test_the_clock_is_one_that_nobody_sets():
    before = seconds_since_boot()
    assert seconds_since_boot() >= before > 0
