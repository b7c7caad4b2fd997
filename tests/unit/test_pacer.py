"""The pace of requests against servers that refuse what is too much, in simulated time."""

from __future__ import annotations

import threading

import pytest

from etl.extract import pacer
from etl.extract.pacer import Pacer


class Simulation:
    """A server with a bucket of tokens, and a clock that moves when somebody waits or asks."""

    def __init__(
        self, monkeypatch, limit: float, *, burst: float = 1.0, max_rate: float | None = None
    ) -> None:
        self.now = 1000.0
        self.limit, self.burst, self.tokens, self.filled_at = limit, burst, burst, self.now
        self.taken = self.refused = 0
        monkeypatch.setattr(pacer.time, "monotonic", lambda: self.now)
        stopping = threading.Event()
        monkeypatch.setattr(stopping, "wait", self._sleep)
        self.pacer = Pacer(max_rate, stopping)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def run(self, seconds: float, *, answer_takes: float = 0.002) -> None:
        """Send as many requests as the pacer lets pass in so long."""
        end = self.now + seconds
        while self.now < end:
            self.pacer.wait()
            self.tokens = min(self.burst, self.tokens + (self.now - self.filled_at) * self.limit)
            self.filled_at = self.now
            if self.tokens >= 1:
                self.tokens -= 1
                self.taken += 1
                self.pacer.passed()
            else:
                self.refused += 1
                self.pacer.refused()
            self.now += answer_takes


@pytest.mark.parametrize("limit", [2, 10, 50, 200])
@pytest.mark.parametrize("burst", [1, 20])
def test_a_limit_is_found_and_used_and_seldom_hit(monkeypatch, limit, burst):
    simulation = Simulation(monkeypatch, limit, burst=burst)
    seconds = 60 + 100 / limit
    simulation.run(seconds)
    assert simulation.taken >= 0.85 * limit * seconds
    assert simulation.refused <= 0.05 * simulation.taken + 10


def test_a_limit_that_rises_is_found_again(monkeypatch):
    simulation = Simulation(monkeypatch, 5)
    simulation.run(30)
    simulation.limit, simulation.taken = 50, 0
    simulation.run(200)
    assert simulation.taken >= 0.7 * 50 * 200


def test_a_limit_that_falls_is_found_in_few_tries(monkeypatch):
    simulation = Simulation(monkeypatch, 100)
    simulation.run(30)
    simulation.limit, simulation.taken, simulation.refused = 4, 0, 0
    simulation.run(60)
    assert simulation.taken >= 0.85 * 4 * 60
    assert simulation.refused <= 30


def test_without_a_refusal_nothing_is_held_back(monkeypatch):
    simulation = Simulation(monkeypatch, 1000, burst=1000)
    simulation.run(1)
    assert simulation.taken == pytest.approx(500, abs=2)


def test_the_users_own_rate_is_never_exceeded(monkeypatch):
    simulation = Simulation(monkeypatch, 10, max_rate=4)
    simulation.run(50)
    assert (simulation.taken, simulation.refused) == (pytest.approx(200, abs=2), 0)
    simulation.limit = 2
    simulation.run(50)
    simulation.limit, simulation.taken = 100, 0
    simulation.run(200)
    assert simulation.taken <= 4 * 200 + 1


def test_a_turn_that_was_given_before_a_cut_cuts_no_further(monkeypatch):
    simulation = Simulation(monkeypatch, 100, max_rate=10)
    is_waiting, may_go = threading.Event(), threading.Event()

    def wait_for_the_cut(_seconds: float) -> None:
        is_waiting.set()
        may_go.wait(10)

    def be_refused() -> None:
        simulation.pacer.wait()
        simulation.pacer.refused()

    simulation.pacer.wait()
    monkeypatch.setattr(simulation.pacer._stopping, "wait", wait_for_the_cut)
    second = threading.Thread(target=be_refused)
    second.start()
    assert is_waiting.wait(10)
    simulation.pacer.refused()
    may_go.set()
    second.join()
    assert simulation.pacer.rate == 5


def test_refusals_of_what_was_sent_before_a_cut_cut_no_further(monkeypatch):
    simulation = Simulation(monkeypatch, 100, max_rate=100)
    threads = [threading.Thread(target=simulation.pacer.wait) for _ in range(3)]
    for thread in threads:
        thread.start()
        thread.join()
    simulation.pacer.wait()
    simulation.pacer.refused()
    rate = simulation.pacer.rate
    for _ in range(3):
        simulation.pacer.refused()
    assert simulation.pacer.rate == rate < 100
