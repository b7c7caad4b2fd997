"""A world that moves by lawful steps, and a witness who remembers what it really was at every request."""

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
    Lets a world move, at random or between two requests, and remembers the truth.

    `states` are all states in which each task was ever shown, `absent` the tasks that were missing at some
    instant since `watch` began, and `hard` those that appeared where no list of new or unfinished tasks need
    show them: with an old date, back from the dead, cancelled before they started, in an unknown status.
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

    def watch(self, *, rate: float = 0.0, most: int = 40) -> None:
        """Begin a run, during which the world moves at so many of its requests, `most` times in all."""
        self.rate, self.left = rate, most
        self.look()
        self.absent, self.changed = set(), set()

    def __call__(self, _request: object) -> None:
        """Move before a request, and look at what it will be answered from."""
        with self.world.lock:
            while self.left and self._chance.random() < self.rate:
                self.left -= 1
                self.move()
            self.look()

    def look(self) -> None:
        """Remember every task as it is now."""
        now = {task.task_id: (task.status, task.progress) for task in self.world.tasks.values()}
        for task_id, state in now.items():
            self.states.setdefault(task_id, set()).add(state)
        self.absent |= self._before.keys() - now.keys()
        self.changed |= {task_id for task_id, state in now.items() if self._before.get(task_id) != state}
        self.hard |= {task.task_id for task in self.world.tasks.values() if _is_hidden(task)}
        self._before = now

    def move(self) -> None:
        """Let one thing happen."""
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
            self.world.set_progress(task.task_id, task.progress)
            self.world._move(task, status, progress)

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
