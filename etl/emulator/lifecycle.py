"""The planned lifecycle of a task: its status changes, and the age at which each happens."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import random

_LONG_WAIT, _STUCK, _REVOKED_WAITING, _REVOKED_RUNNING = 0.12, 0.004, 0.02, 0.008
_SENT_BACK, _RETRIED, _FAILED, _LONG_RUN = 0.12, 0.03, 0.07, 0.08
_MAX_RETRIES = 3
_DONE = 100


class Step(NamedTuple):
    """A change of status or progress when the task is `age` seconds old."""

    age: float
    status: str
    progress: int


def plan_lifecycle(rng: random.Random) -> list[Step]:
    """
    Return the steps of a task that begins as RECEIVED.

    Most tasks finish in minutes. A few wait for hours, and a very few for days, because an incremental sync
    could miss those.
    """
    age = rng.uniform(0.2, 4)
    steps = [Step(age, "PENDING", 0)]
    if rng.random() < _REVOKED_WAITING:
        return [*steps, Step(age + rng.expovariate(1 / 300), "REVOKED", 0)]
    age += _wait(rng)
    steps.append(Step(age, "STARTED", 0))
    progress, retries = 0, 0
    stage = rng.lognormvariate(3.4, 0.9) * (60 if rng.random() < _LONG_RUN else 1)
    while True:
        age += stage * rng.uniform(0.3, 1)
        roll = rng.random()
        if roll < _REVOKED_RUNNING:
            return [*steps, Step(age, "REVOKED", progress)]
        if roll < _REVOKED_RUNNING + _RETRIED and retries < _MAX_RETRIES:
            retries, progress = retries + 1, 0
            steps.append(Step(age, "RETRY", 0))
            age += rng.uniform(5, 60)
            steps.append(Step(age, "STARTED", 0))
            continue
        progress += rng.randint(15, 60)
        if progress >= _DONE:
            break
        steps.append(Step(age, "STARTED", progress))
        if rng.random() < _SENT_BACK:
            steps.append(Step(age := age + rng.uniform(0.5, 5), "PENDING", progress))
            steps.append(Step(age := age + _wait(rng), "STARTED", progress))
    failed = rng.random() < _FAILED
    return [*steps, Step(age, "FAILURE", steps[-1].progress) if failed else Step(age, "SUCCESS", _DONE)]


def _wait(rng: random.Random) -> float:
    roll = rng.random()
    if roll < _STUCK:
        return rng.uniform(86_400, 12 * 86_400)
    return rng.expovariate(1 / (5400 if roll < _STUCK + _LONG_WAIT else 40))
