"""How a task lives when nobody interferes: which steps it takes, and at what age."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import random

_LONG_WAIT, _STUCK, _REVOKED_WAITING, _REVOKED_RUNNING = 0.12, 0.004, 0.02, 0.008
_SENT_BACK, _RETRIED, _FAILED, _LONG_RUN = 0.12, 0.03, 0.07, 0.08
_MAX_RETRIES = 3
_DONE = 100


class Step(NamedTuple):
    """What a task becomes when it is `age` seconds old."""

    age: float
    status: str
    progress: int


def plan_lifecycle(dice: random.Random) -> list[Step]:
    """
    Lay out every step of a life that begins as RECEIVED.

    Most tasks are done in minutes. A few wait for hours, and a very few for days, because those are the
    ones that an incremental reader forgets.
    """
    age = dice.uniform(0.2, 4)
    steps = [Step(age, "PENDING", 0)]
    if dice.random() < _REVOKED_WAITING:
        return [*steps, Step(age + dice.expovariate(1 / 300), "REVOKED", 0)]
    age += _wait(dice)
    steps.append(Step(age, "STARTED", 0))
    progress, retries = 0, 0
    stage = dice.lognormvariate(3.4, 0.9) * (60 if dice.random() < _LONG_RUN else 1)
    while True:
        age += stage * dice.uniform(0.3, 1)
        roll = dice.random()
        if roll < _REVOKED_RUNNING:
            return [*steps, Step(age, "REVOKED", progress)]
        if roll < _REVOKED_RUNNING + _RETRIED and retries < _MAX_RETRIES:
            retries, progress = retries + 1, 0
            steps.append(Step(age, "RETRY", 0))
            age += dice.uniform(5, 60)
            steps.append(Step(age, "STARTED", 0))
            continue
        progress += dice.randint(15, 60)
        if progress >= _DONE:
            break
        steps.append(Step(age, "STARTED", progress))
        if dice.random() < _SENT_BACK:
            steps.append(Step(age := age + dice.uniform(0.5, 5), "PENDING", progress))
            steps.append(Step(age := age + _wait(dice), "STARTED", progress))
    failed = dice.random() < _FAILED
    return [*steps, Step(age, "FAILURE", steps[-1].progress) if failed else Step(age, "SUCCESS", _DONE)]


def _wait(dice: random.Random) -> float:
    roll = dice.random()
    if roll < _STUCK:
        return dice.uniform(86_400, 12 * 86_400)
    return dice.expovariate(1 / (5400 if roll < _STUCK + _LONG_WAIT else 40))
