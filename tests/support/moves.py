"""Random legal changes of a world, and a record of its state at every request."""

from __future__ import annotations

import datetime as dt
import random
from typing import TYPE_CHECKING

from etl.emulator.task import TERMINAL, TRANSITIONS

if TYPE_CHECKING:
    from etl.emulator.task import Task
    from etl.emulator.world import World

State = tuple[str, int | None]
MOVES = ("create", "step", "step", "step", "delete", "revive", "late", "odd", "tick")


class Mover:
    """
    Changes a world at random, between requests, and records its states.

    `states` are all states that each task has had, `absent` the tasks that did not exist at some time since
    `watch` was called, and `hard` the tasks that lists of new or in-flight tasks need not contain: those with
    an old date, restored ones, those revoked before they started, and those with an unknown status.
    """

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.rate, self.left = 0.0, 0
        self.states: dict[str, set[State]] = {}
        self.absent: set[str] = set()
        self.changed: set[str] = set()
        self.hard: set[str] = set()
        self.deletions = 0
        self._chance = random.Random(seed)
        self._before: dict[str, State] = {}
        self.look()

    def watch(self, *, rate: float = 0.0, limit: int = 40) -> None:
        """Record a run; the world changes before a request with probability `rate`, at most `limit` times."""
        self.rate, self.left = rate, limit
        self.look()
        self.absent, self.changed = set(), set()

    def __call__(self, _request: object) -> None:
        """Change the world before a request, and record its state."""
        with self.world.lock:
            while self.left and self._chance.random() < self.rate:
                self.left -= 1
                self.move()
            self.look()

    def look(self) -> None:
        """Record the state of every task."""
        now = {task.task_id: (task.status, task.progress) for task in self.world.tasks.values()}
        for task_id, state in now.items():
            self.states.setdefault(task_id, set()).add(state)
        self.absent |= self._before.keys() - now.keys()
        self.changed |= {task_id for task_id, state in now.items() if self._before.get(task_id) != state}
        self.hard |= {task.task_id for task in self.world.tasks.values() if _is_hidden(task)}
        self._before = now

    def move(self) -> None:
        """Make one random change."""
        getattr(self, f"_{self._chance.choice(MOVES)}")()

    def _create(self) -> None:
        self.world.create(created_at=self.world.now, kind=self._chance.choice(["transcription", "nsfw"]))

    def _late(self) -> None:
        age = dt.timedelta(days=self._chance.uniform(1, 60))
        task_id = self.world.create(created_at=self.world.now - age)
        self.hard.add(task_id)

    def _step(self) -> None:
        task = self._pick(is_open=True)
        if task is None:
            return
        status = self._chance.choice(sorted(TRANSITIONS.get(task.status, TERMINAL)))
        progress = 100 if status == "SUCCESS" else self._chance.randrange(100)
        with self.world.lock:
            self.world.set_progress(task.task_id, task.progress)  # from now on it follows no plan
            with self.world.index.updating(task):
                task.move(status, self.world.now, progress)

    def _odd(self) -> None:
        task = self._pick(is_open=True)
        if task is not None and self._chance.random() < 0.2:
            self.world.set_status(task.task_id, "SOMETHING_NEW")

    def _delete(self) -> None:
        task = self._pick(is_open=None)
        if task is not None:
            self.world.delete(task.task_id)
            self.absent.add(task.task_id)
            self.deletions += 1

    def _revive(self) -> None:
        if self.world.deleted:
            task_id = self._chance.choice(sorted(self.world.deleted))
            self.world.revive(task_id)
            self.hard.add(task_id)

    def _tick(self) -> None:
        self.world.advance(dt.timedelta(seconds=self._chance.uniform(0, 90)))

    def _pick(self, *, is_open: bool | None) -> Task | None:
        tasks = sorted(self.world.tasks.values(), key=lambda task: task.task_id)
        if is_open:
            tasks = [task for task in tasks if task.status not in TERMINAL]
        return self._chance.choice(tasks) if tasks else None


def _is_hidden(task: Task) -> bool:
    return task.started_at is None and task.status not in {"RECEIVED", "PENDING", "STARTED"}
