"""What happens in a world by itself: tasks come and live, as its clock goes on."""

from __future__ import annotations

import bisect
import contextlib
import datetime as dt
import gc
import heapq
import itertools
import operator
import random
import threading
import time
from typing import TYPE_CHECKING, Self

from etl.emulator.content import KINDS
from etl.emulator.index import Index
from etl.emulator.lifecycle import Step, plan_lifecycle
from etl.emulator.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOON = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
_KIND_SHARES = (0.56, 0.68, 0.78, 0.88)  # of the kinds so far; the last has the rest
# Planning a life takes longer than living it: from here on, lives repeat.
_MAX_PLANS = 5000
_age_of = operator.attrgetter("age")
# Some of the tasks are fresh, or a world of weeks would show almost nothing in flight.
_FRESH, _FRESH_SECONDS = 0.08, 1800


class Timeline:
    """A clock, and the tasks that come and change as it goes; the same for the same seed."""

    def __init__(  # noqa: PLR0913
        self,
        now: dt.datetime = NOON,
        *,
        seed: int = 7,
        client_id: int = 2675,
        arrivals_per_hour: float = 0,
        speed: float = 0,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lock = threading.RLock()
        self.index = Index()
        self.client_id = client_id
        self._deleted: dict[str, Task] = {}
        self._true: dict[str, Task] = {}
        self._now = now
        self._dice = random.Random(seed)  # noqa: S311
        self._agenda: list[tuple[dt.datetime, int, Task | None, Step | None]] = []
        self._order = itertools.count()
        self._plans: list[list[Step]] = []
        self._arrivals_per_hour = arrivals_per_hour
        self._speed, self._timer, self._last_tick = speed, timer, timer()
        self._expect_arrival()

    @classmethod
    def seeded(  # noqa: PLR0913
        cls,
        tasks: int = 1000,
        seed: int = 7,
        now: dt.datetime = NOON,
        span: dt.timedelta = dt.timedelta(days=45),
        client_id: int = 2675,
        *,
        arrivals_per_hour: float = 0,
        speed: float = 0,
        timer: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Make a world to which `tasks` have come over the last `span`, each as far along as its age."""
        world = cls(
            now, seed=seed, client_id=client_id, arrivals_per_hour=arrivals_per_hour, speed=speed, timer=timer
        )
        dice, seconds = world._dice, span.total_seconds()
        with _no_collection():
            world.index.load(
                world._bear(now - dt.timedelta(seconds=_make_age(dice, seconds))) for _ in range(tasks)
            )
        world._last_tick = timer()  # the time it took to make a world does not pass in it
        return world

    @property
    def now(self) -> dt.datetime:
        """What the world's clock shows."""
        self.catch_up()
        return self._now

    def advance(self, span: dt.timedelta) -> None:
        """Let time pass, and everything happen that was to happen in it."""
        if span < dt.timedelta(0):
            raise ValueError("time does not go back")
        with self.lock:
            self.catch_up()
            self._run_until(self._now + span)

    def catch_up(self) -> None:
        """Let pass what the real clock says has passed; nothing, where time stands still."""
        if not self._speed:
            return
        with self.lock:
            elapsed = self._timer() - self._last_tick
            self._run_until(self._now + dt.timedelta(seconds=elapsed * self._speed))
            # What it took to live through this does not count, or a fast world would never catch up.
            self._last_tick = self._timer()

    def _run_until(self, end: dt.datetime) -> None:
        while self._agenda and self._agenda[0][0] <= end:
            self._now, _, task, step = heapq.heappop(self._agenda)
            if task is None or step is None:
                self.index.add(self._bear(self._now))
                self._expect_arrival()
            elif task.life is not None:
                self._move(task, step.status, step.progress)
                self._live_on(task)
        self._now = end

    def _bear(self, created_at: dt.datetime, kind: str | None = None, *, lives: bool = True) -> Task:
        dice = self._dice
        kind = kind or KINDS[bisect.bisect(_KIND_SHARES, dice.random())]
        task = Task(_make_id(dice), kind, dice.getrandbits(32), self.client_id, created_at)
        if not lives:
            return task
        plan = self._plan()
        age = (self._now - created_at).total_seconds()
        lived = bisect.bisect(plan, age, key=_age_of)
        if lived:
            task.grow_up(plan[:lived])
        if lived < len(plan):
            task.life = iter(plan[lived:])
            self._live_on(task)
        return task

    def _plan(self) -> list[Step]:
        if len(self._plans) < _MAX_PLANS:
            self._plans.append(plan_lifecycle(self._dice))
            return self._plans[-1]
        return self._plans[int(self._dice.random() * _MAX_PLANS)]

    def _live_on(self, task: Task) -> None:
        """Put the task's next step on the agenda, if there is one."""
        step = next(task.life or iter(()), None)
        if step is None:
            task.life = None
        else:
            at = task.created_at + dt.timedelta(seconds=step.age)
            heapq.heappush(self._agenda, (at, next(self._order), task, step))

    def _expect_arrival(self) -> None:
        if self._arrivals_per_hour:
            at = self._now + dt.timedelta(hours=self._dice.expovariate(self._arrivals_per_hour))
            heapq.heappush(self._agenda, (at, next(self._order), None, None))

    def _move(self, task: Task, status: str, progress: int | None) -> None:
        """Let a listed task take a step now. Most steps are of progress alone, which nothing is sorted by."""
        if status == task.status and task.started_at is not None:
            task.move(status, self._now, progress)
            self.index.touch(task)
        else:
            with self.index.moving(task):
                task.move(status, self._now, progress)


def _make_id(dice: random.Random) -> str:
    """Make a random UUID (version 4), in a third of the time that the uuid module takes."""
    digits = f"{dice.getrandbits(128):032x}"
    variant = "89ab"[dice.getrandbits(2)]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def _make_age(dice: random.Random, span: float) -> float:
    if dice.random() < _FRESH:
        return min(span, dice.expovariate(1 / _FRESH_SECONDS))
    return dice.uniform(0, span)


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Spare the garbage collector a million new objects that are here to stay."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
