"""The clock of a world, and the events that happen as it advances: tasks are created and change."""

from __future__ import annotations

import bisect
import datetime as dt
import gc
import heapq
import itertools
import operator
import random
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from etl.emulator.content import KINDS
from etl.emulator.index import Index
from etl.emulator.lifecycle import Step, plan_lifecycle
from etl.emulator.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable

NOON = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
_KIND_SHARES = (0.56, 0.68, 0.78, 0.88)  # cumulative; the last kind has the rest
# Planning a lifecycle is slow, so beyond this number plans are reused.
_MAX_PLANS = 5000
_age_of = operator.attrgetter("age")
# The share of recent tasks; otherwise, a world of several weeks would have almost no tasks in flight.
_RECENT, _RECENT_SECONDS = 0.08, 1800


class Timeline:
    """A clock, and the tasks that are created and change as it advances; reproducible for a seed."""

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
        self._originals: dict[str, Task] = {}
        self._now = now
        self._rng = random.Random(seed)  # noqa: S311
        self._events: list[tuple[dt.datetime, int, Task | None, Step | None]] = []
        self._event_numbers = itertools.count()
        self._plans: list[list[Step]] = []
        self._arrivals_per_hour = arrivals_per_hour
        self._speed, self._timer, self._last_tick = speed, timer, timer()
        self._schedule_arrival()

    @classmethod
    def seeded(
        cls,
        tasks: int = 1000,
        *,
        span: dt.timedelta = dt.timedelta(days=45),
        **options: Any,  # noqa: ANN401 - those of the class
    ) -> Self:
        """Return a world with `tasks` created in the last `span`, each in the state of its age."""
        world = cls(**options)
        now, rng, seconds = world._now, world._rng, span.total_seconds()
        # Collecting garbage takes long while a million objects are created that will all be kept.
        gc.disable()
        try:
            for _ in range(tasks):
                age = dt.timedelta(seconds=_make_age(rng, seconds))
                world.index.add(world._create_task(now - age))
        finally:
            gc.enable()
        world._last_tick = world._timer()  # excludes the time that this method took
        return world

    @property
    def now(self) -> dt.datetime:
        """The time of the world's clock."""
        self.catch_up()
        return self._now

    def advance(self, span: dt.timedelta) -> None:
        """Advance the clock, and run the events of that time."""
        if span < dt.timedelta(0):
            raise ValueError("time does not go back")
        with self.lock:
            self.catch_up()
            self._run_until(self._now + span)

    def catch_up(self) -> None:
        """Advance the clock by the real time that has passed, times `speed`."""
        if not self._speed:
            return
        with self.lock:
            elapsed = self._timer() - self._last_tick
            self._run_until(self._now + dt.timedelta(seconds=elapsed * self._speed))
            # Excludes the time that running the events took: otherwise a fast world would never catch up.
            self._last_tick = self._timer()

    def _run_until(self, end: dt.datetime) -> None:
        while self._events and self._events[0][0] <= end:
            self._now, _, task, step = heapq.heappop(self._events)
            if task is None or step is None:
                self.index.add(self._create_task(self._now))
                self._schedule_arrival()
            elif task.planned is not None:
                self._move(task, step.status, step.progress)
                self._schedule_next_step(task)
        self._now = end

    def _create_task(
        self, created_at: dt.datetime, kind: str | None = None, *, has_plan: bool = True
    ) -> Task:
        rng = self._rng
        kind = kind or KINDS[bisect.bisect(_KIND_SHARES, rng.random())]
        task = Task(_make_id(rng), kind, rng.getrandbits(32), self.client_id, created_at)
        if not has_plan:
            return task
        plan = self._plan()
        age = (self._now - created_at).total_seconds()
        done = bisect.bisect(plan, age, key=_age_of)
        if done:
            task.apply_steps(plan[:done])
        if done < len(plan):
            task.planned = iter(plan[done:])
            self._schedule_next_step(task)
        return task

    def _plan(self) -> list[Step]:
        if len(self._plans) < _MAX_PLANS:
            self._plans.append(plan_lifecycle(self._rng))
            return self._plans[-1]
        return self._plans[int(self._rng.random() * _MAX_PLANS)]

    def _schedule_next_step(self, task: Task) -> None:
        step = next(task.planned or iter(()), None)
        if step is None:
            task.planned = None
        else:
            at = task.created_at + dt.timedelta(seconds=step.age)
            heapq.heappush(self._events, (at, next(self._event_numbers), task, step))

    def _schedule_arrival(self) -> None:
        if self._arrivals_per_hour:
            at = self._now + dt.timedelta(hours=self._rng.expovariate(self._arrivals_per_hour))
            heapq.heappush(self._events, (at, next(self._event_numbers), None, None))

    def _move(self, task: Task, status: str, progress: int | None) -> None:
        """Change a task now. Most changes are of progress alone, which affects no order."""
        if status == task.status and task.started_at is not None:
            task.move(status, self._now, progress)
        else:
            with self.index.updating(task):
                task.move(status, self._now, progress)


def _make_id(rng: random.Random) -> str:
    """Return a random UUID (version 4), three times as fast as the uuid module."""
    digits = f"{rng.getrandbits(128):032x}"
    variant = "89ab"[rng.getrandbits(2)]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def _make_age(rng: random.Random, span: float) -> float:
    if rng.random() < _RECENT:
        return min(span, rng.expovariate(1 / _RECENT_SECONDS))
    return rng.uniform(0, span)
