"""The rate limiter with simulated servers that return 429 above their limit, in simulated time."""

from __future__ import annotations

import heapq
import itertools
import math
import random
import threading
from collections import deque

import pytest
from support.grids import one_in

from etl.extract import rate_limiter
from etl.extract.rate_limiter import RateLimiter
from etl.stop import Stop


class Clock:
    """A simulated clock: when all threads sleep, it advances to the first wake-up and resumes that thread."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, int, threading.Semaphore]] = []
        self._numbers = itertools.count()
        self._all_sleep = threading.Semaphore(0)

    def sleep(self, seconds: float) -> None:
        wake = threading.Semaphore(0)
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._numbers), wake))
        self._all_sleep.release()
        wake.acquire()

    def skip(self, seconds: float) -> None:
        self.now += seconds

    def start(self, work) -> None:
        def run() -> None:
            self.sleep(0)
            work()

        threading.Thread(target=run, daemon=True).start()
        self._all_sleep.acquire()

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._sleepers and self._sleepers[0][0] < end:
            self.now, _, wake = heapq.heappop(self._sleepers)
            wake.release()
            self._all_sleep.acquire()
        self.now = end


class Bucket:
    """A token bucket: `limit` tokens per second, of which at most `burst` are kept."""

    def __init__(self, clock: Clock, limit: float, burst: float = 1.0) -> None:
        self.limit, self.burst = limit, burst
        self._clock, self._tokens, self._filled_at = clock, burst, clock.now

    def takes(self) -> bool:
        now = self._clock.now
        self._tokens = min(self.burst, self._tokens + (now - self._filled_at) * self.limit)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class SlidingWindow:
    """Accepts at most `limit` requests in any second; with `counts_all`, rejected requests count as well."""

    def __init__(self, clock: Clock, limit: int, *, counts_all: bool = False) -> None:
        self.limit = limit
        self._clock, self._counts_all = clock, counts_all
        self._counted: deque[float] = deque()

    def takes(self) -> bool:
        while self._counted and self._counted[0] <= self._clock.now - 1:
            self._counted.popleft()
        is_taken = len(self._counted) < self.limit
        if is_taken or self._counts_all:
            self._counted.append(self._clock.now)
        return is_taken


class FixedWindow:
    """Accepts at most `limit` requests per second, counted in fixed windows of `seconds`."""

    def __init__(self, clock: Clock, limit: float, seconds: float = 1.0) -> None:
        self.limit = limit
        self._clock, self._seconds = clock, seconds
        self._window, self._counted = -1, 0

    def takes(self) -> bool:
        window = int(self._clock.now // self._seconds)
        if window != self._window:
            self._window, self._counted = window, 0
        self._counted += 1
        return self._counted <= self.limit * self._seconds


class Simulation:
    """Threads that send requests continuously and, after a 429, retry with the back-off of the client."""

    def __init__(self, monkeypatch, make_server, *, threads: int = 4, max_rate: float | None = None) -> None:
        self.clock = Clock()
        self.server = make_server(self.clock)
        self.taken = self.refused = 0
        self.starts: list[float] = []
        self._random = random.Random(1)
        monkeypatch.setattr(rate_limiter.time, "monotonic", lambda: self.clock.now)
        self.stop = Stop()
        monkeypatch.setattr(self.stop, "wait", self.clock.sleep)
        self.rate_limiter = RateLimiter(max_rate, self.stop)
        for _ in range(threads):
            self.clock.start(self._ask_for_ever)

    def run(self, seconds: float) -> float:
        """Return the fraction of the server's limit that was used."""
        self.taken = self.refused = 0
        self.clock.run(seconds)
        return self.taken / (self.server.limit * seconds)

    def _ask_for_ever(self) -> None:
        while True:
            for ceiling in itertools.chain((0.5, 1, 2, 4, 8, 16), itertools.repeat(30)):
                if self._ask():
                    break
                self.clock.sleep(self._random.uniform(ceiling / 2, ceiling))

    def _ask(self) -> bool:
        self.rate_limiter.wait()
        self.starts.append(self.clock.now)
        self.clock.sleep(self._random.uniform(0.001, 0.002))
        is_taken = self.server.takes()
        self.clock.sleep(0.001)
        if is_taken:
            self.taken += 1
            self.rate_limiter.on_success()
        else:
            self.refused += 1
            self.rate_limiter.on_throttled()
        return is_taken


SERVERS = {
    "evenly": Bucket,
    "a bucket": lambda clock, limit: Bucket(clock, limit, burst=20),
    "any second": SlidingWindow,
    "any second, refused ones too": lambda clock, limit: SlidingWindow(clock, limit, counts_all=True),
    "each second": FixedWindow,
}


@one_in(3, "kind, limit, threads", SERVERS, [5, 20, 50], [1, 4, 16])
def test_limit_is_reached_with_few_429s(monkeypatch, kind, limit, threads):
    simulation = Simulation(monkeypatch, lambda clock: SERVERS[kind](clock, limit), threads=threads)
    assert simulation.run(60) >= 0.75
    assert simulation.refused <= 0.05 * simulation.taken + 6 * threads + 15
    assert simulation.run(60) >= 0.85
    assert simulation.refused <= 0.05 * simulation.taken + 2 * threads


@pytest.mark.parametrize("kind", SERVERS)
def test_low_limit_is_reached(monkeypatch, kind):
    simulation = Simulation(monkeypatch, lambda clock: SERVERS[kind](clock, 2))
    assert simulation.run(100) >= 0.75
    assert simulation.run(100) >= 0.85


def test_per_minute_limit_is_fully_used(monkeypatch):
    simulation = Simulation(monkeypatch, lambda clock: FixedWindow(clock, 5, seconds=60))
    simulation.run(60)
    assert simulation.run(600) >= 0.85
    assert simulation.refused <= 0.15 * simulation.taken


def test_idle_time_before_first_429_does_not_lower_rate(monkeypatch):
    simulation = Simulation(monkeypatch, lambda clock: Bucket(clock, 40, burst=40), threads=0)
    for _ in range(40):
        simulation.rate_limiter.wait()
        simulation.rate_limiter.on_success()
        simulation.clock.run(0.01)
    simulation.clock.run(5)
    simulation.rate_limiter.wait()
    simulation.rate_limiter.on_throttled()
    assert simulation.rate_limiter.rate == 20


def test_a_429_after_few_requests_of_a_busy_client_does_not_lower_the_rate(monkeypatch):
    simulation = Simulation(monkeypatch, lambda clock: Bucket(clock, 40, burst=40), threads=0)
    ours = simulation.rate_limiter
    for _ in range(2):
        ours.wait()
        ours.on_success()
        simulation.clock.run(0.9)
    ours.wait()
    ours.on_throttled()
    assert ours.rate == math.inf
    # A second one shows that there is a limit.
    simulation.clock.run(1)
    ours.wait()
    ours.on_throttled()
    assert ours.rate <= 2


def test_one_429_to_a_slow_start_costs_hardly_any_time(monkeypatch):
    """A limiter that took its first, slow requests for the server's limit would need minutes to forget it."""
    simulation = Simulation(monkeypatch, lambda clock: Bucket(clock, 50, burst=50), threads=0)
    ours = simulation.rate_limiter
    for _ in range(2):
        ours.wait()
        ours.on_success()
        simulation.clock.run(0.9)
    ours.wait()
    ours.on_throttled()
    for _ in range(4):
        simulation.clock.start(simulation._ask_for_ever)  # noqa: SLF001
    assert simulation.run(20) >= 0.75


def test_rate_recovers_when_limit_rises(monkeypatch):
    simulation = Simulation(monkeypatch, lambda clock: Bucket(clock, 5))
    simulation.run(30)
    simulation.server.limit = 50
    assert simulation.run(200) >= 0.7


def test_rate_adapts_quickly_when_limit_falls(monkeypatch):
    simulation = Simulation(monkeypatch, lambda clock: Bucket(clock, 100))
    simulation.run(30)
    simulation.server.limit = 4
    assert simulation.run(60) >= 0.85
    assert simulation.refused <= 60


def test_requests_are_not_delayed_without_429s(monkeypatch):
    simulation = Simulation(monkeypatch, lambda clock: Bucket(clock, 10_000, burst=10_000), threads=1)
    simulation.run(1)
    assert simulation.taken == pytest.approx(1 / 0.0025, rel=0.05)


def test_max_rate_is_never_exceeded(monkeypatch):
    simulation = Simulation(monkeypatch, lambda clock: Bucket(clock, 10), max_rate=4)
    simulation.run(50)
    assert (simulation.taken, simulation.refused) == (pytest.approx(200, abs=2), 0)
    simulation.server.limit = 2
    simulation.run(50)
    simulation.server.limit = 100
    simulation.run(200)
    assert simulation.taken <= 4 * 200 + 1


def test_very_low_max_rate_is_kept_after_429(monkeypatch):
    simulation = Simulation(monkeypatch, lambda clock: Bucket(clock, 0.01, burst=1), threads=1, max_rate=0.05)
    simulation.run(1000)
    assert simulation.refused
    gaps = [after - before for before, after in itertools.pairwise(simulation.starts)]
    assert min(gaps) >= 1 / 0.05


def test_waiting_threads_are_postponed_after_429(monkeypatch):
    simulation = Simulation(monkeypatch, lambda clock: Bucket(clock, math.inf, burst=math.inf), threads=0)
    ours, started = RateLimiter(10, simulation.stop), []

    def ask() -> None:
        ours.wait()
        started.append(simulation.clock.now - 1000)
        if len(started) == 1:
            simulation.clock.sleep(0.01)
            ours.on_throttled()
        simulation.clock.sleep(math.inf)

    for _ in range(3):
        simulation.clock.start(ask)
    simulation.clock.run(10)
    assert ours.rate == 5
    # Without the 429 they would have started after 0.1 and 0.2 seconds.
    assert started == [0, pytest.approx(0.21), pytest.approx(0.41)]


def test_threads_get_equal_turns_during_constant_429s(monkeypatch):
    simulation = Simulation(monkeypatch, lambda clock: Bucket(clock, 1, burst=0), threads=0)
    turns = [0, 0, 0, 0]

    def give_up_and_go_on(number: int) -> None:
        while True:
            simulation.rate_limiter.wait()
            turns[number] += 1
            simulation.clock.sleep(0.01)
            simulation.rate_limiter.on_throttled()

    for number in range(len(turns)):
        simulation.clock.start(lambda number=number: give_up_and_go_on(number))
    simulation.clock.run(300)
    assert min(turns) >= max(turns) / 2


def test_429s_of_requests_sent_before_a_cut_are_ignored(monkeypatch):
    simulation = Simulation(monkeypatch, lambda clock: Bucket(clock, 100), threads=0, max_rate=100)
    threads = [threading.Thread(target=simulation.rate_limiter.wait) for _ in range(3)]
    monkeypatch.setattr(simulation.stop, "wait", simulation.clock.skip)
    for thread in threads:
        thread.start()
        thread.join()
    simulation.rate_limiter.wait()
    simulation.rate_limiter.on_throttled()
    rate = simulation.rate_limiter.rate
    for _ in range(3):
        simulation.rate_limiter.on_throttled()
    assert simulation.rate_limiter.rate == rate < 100


def test_success_of_earlier_request_does_not_end_pause(monkeypatch):
    simulation = Simulation(monkeypatch, lambda clock: Bucket(clock, 100), threads=0, max_rate=100)
    ours, rates = simulation.rate_limiter, []

    def be_refused_twice() -> None:
        ours.wait()
        simulation.clock.sleep(0.05)
        for _ in range(2):
            ours.on_throttled()
            rates.append(ours.rate)
            ours.wait()
        simulation.clock.sleep(math.inf)

    def be_answered_meanwhile() -> None:
        ours.wait()
        simulation.clock.sleep(0.045)
        ours.on_success()
        simulation.clock.sleep(math.inf)

    simulation.clock.start(be_refused_twice)
    simulation.clock.start(be_answered_meanwhile)
    simulation.clock.run(10)
    assert rates == [50, pytest.approx(50, abs=0.3)]


def test_pauses_are_capped_during_constant_429s(monkeypatch):
    simulation = Simulation(monkeypatch, lambda clock: Bucket(clock, 1, burst=0), threads=40)
    simulation.run(2000)
    assert simulation.refused > 1000
    gaps = [after - before for before, after in itertools.pairwise(simulation.starts)]
    assert max(gaps) <= 2 * rate_limiter.MAX_PAUSE
