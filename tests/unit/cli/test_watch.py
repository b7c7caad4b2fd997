"""When the turns of `watch` are due, on a simulated clock."""

from __future__ import annotations

import datetime as dt

import pytest

from etl.cli.watch import Schedule, seconds_since_boot


class Clock:
    """A simulated clock that only sleeping advances, by `late` more than requested; it records each sleep."""

    def __init__(self, *, late: float = 0.0) -> None:
        self.now, self.naps, self._late = 1000.0, [], late

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.naps.append(seconds)
        self.now += seconds + self._late


def starts(clock: Clock, every: float, turns: list[float]) -> list[float]:
    """Return when each turn starts, relative to the first, for turns of these durations."""
    schedule = Schedule(dt.timedelta(seconds=every), clock=clock, sleep=clock.sleep)
    found = []
    for seconds in turns:
        found.append(round(clock.now - 1000, 6))
        clock.now += seconds
        schedule.wait()
    return found


def test_turns_start_at_fixed_intervals():
    assert starts(Clock(), 300, [1, 299, 0, 120, 1]) == [0, 300, 600, 900, 1200]


def test_late_wake_ups_do_not_accumulate():
    clock = Clock(late=0.5)
    assert starts(clock, 10, [1] * 100)[-1] < 10 * 99 + 1


def test_next_turn_starts_immediately_after_a_long_turn():
    assert starts(Clock(), 300, [1000, 1, 1, 1]) == [0, 1000, 1300, 1600]


def test_turns_longer_than_interval_run_back_to_back():
    assert starts(Clock(), 1, [5, 5, 5]) == [0, 5, 10]


def test_missed_turns_are_not_made_up_after_suspension():
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


def test_long_waits_are_split_into_short_sleeps():
    clock = Clock()
    starts(clock, 86_400, [1, 1])
    assert max(clock.naps) <= 60


def test_clock_is_monotonic():
    before = seconds_since_boot()
    assert seconds_since_boot() >= before > 0
