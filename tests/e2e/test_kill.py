"""
P5 and P6: killing the command at any instant leaves no wrong rows, and loses none.

The command is killed with SIGKILL: at random instants, and just before and after its statements and commits.
The world does not change meanwhile, so the rows that an uninterrupted run stores are known exactly.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import random
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import inspect, text
from support.databases import migrate
from support.dumps import contradictions, copy_of, damage, differences, miscounts, read_dump, untruths
from support.grids import one_in
from support.processes import (
    SMALL_BATCHES,
    Child,
    Moment,
    Nursery,
    await_release,
    environment_for,
    start_command,
)
from support.worlds import NOW, settings_for, stored_states, true_states

from etl.database import downgrade
from etl.database.revisions import TABLES, known_revisions
from etl.emulator import Behaviour, World, serve
from etl.sync.api import run_sync, writing
from etl.sync.options import SyncOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.databases import Databases

    from etl.emulator import Emulator

PAGE = 10
KINDS = ("sqlite", "postgres")


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


def a_varied_world() -> World:
    """Return a world with available, expired and pending results, and a record without an id."""
    world = World.seeded(60, seed=7, now=NOW, span=dt.timedelta(days=45), arrivals_per_hour=3)
    finished = sorted(task.task_id for task in world.tasks.values() if task.status == "SUCCESS")
    world.expire_result(finished[-1])
    world.add_raw("00000000-0000-4000-8000-000000000001", b'{"status":"SUCCESS"}')
    return world


def known_states(world: World) -> dict[str, tuple[str, int | None]]:
    """Return the true state of every task with a usable id."""
    true = true_states(world)
    return {task_id: true[task_id] for task_id, task in world.tasks.items() if task.raw is None}


def sync(emulator: Emulator, database_url: str, **options: bool) -> None:
    run_sync(settings_for(emulator, database_url, page_size=PAGE), SyncOptions(**options))


def prepare_changes(emulator: Emulator, database_url: str) -> None:
    sync(emulator, database_url)
    emulator.world.advance(dt.timedelta(hours=9))
    emulator.world.add_raw("00000000-0000-4000-8000-000000000002", b'{"status":"FAILURE"}')


def prepare_removals(emulator: Emulator, database_url: str) -> None:
    world = emulator.world
    sync(emulator, database_url)
    ids = sorted(task_id for task_id, task in world.tasks.items() if task.raw is None)
    for task_id in ids[3:12:2]:
        world.delete(task_id)
    sync(emulator, database_url, is_full=True)
    world.revive(ids[3])
    for task_id in ids[20:28]:
        world.delete(task_id)
    world.advance(dt.timedelta(hours=2))


def prepare_tasks(emulator: Emulator, database_url: str) -> None:
    sync(emulator, database_url, with_results=False)


def prepare_older_schema(revision: str) -> Callable[[Emulator, str], None]:
    def prepare(emulator: Emulator, database_url: str) -> None:
        prepare_changes(emulator, database_url)
        with writing(database_url) as connection, connection.begin():
            downgrade(connection, revision)
            if not inspect(connection).has_table("sync_runs"):
                connection.execute(text("UPDATE task_history SET run_id = 0"))

    return prepare


@dataclasses.dataclass(frozen=True)
class Scenario:
    """The initial state, the command to kill, and moments that are always tested; a sync then recovers."""

    prepare: Callable[[Emulator, str], None]
    command: tuple[str, ...] = ("sync",)
    moments: tuple[Moment, ...] = ()

    @property
    def remedy(self) -> tuple[str, ...]:
        return self.command if self.command[0] == "sync" else ("sync",)


# Between the rows of the first batch and its counters; the first such statement closes killed runs.
BEFORE_COUNTERS = Moment(what="UPDATE sync_runs", number=2)
SCENARIOS = {
    "no database": Scenario(
        lambda _emulator, _url: None, moments=(Moment(what=" VIEW ", number=3), BEFORE_COUNTERS)
    ),
    "no rows": Scenario(lambda _emulator, database_url: migrate(database_url)),
    "changes": Scenario(prepare_changes, moments=(BEFORE_COUNTERS,)),
    "removals": Scenario(prepare_removals, ("sync", "--full")),
    "results": Scenario(prepare_tasks),
}
UPGRADES = {
    f"from {revision}": Scenario(
        prepare_older_schema(revision), ("db", "upgrade"), moments=(Moment(what=" VIEW ", number=3),)
    )
    for revision in known_revisions()[:-1]
}


class Victim:
    """
    One scenario on one database; the command runs on copies of it.

    `before` is the initial state, `done` the state after an uninterrupted command, `after` the state after a
    following sync; `passed` counts the statements and commits of the command, which takes `seconds`.
    """

    def __init__(self, nursery: Nursery, emulator: Emulator, database_url: str, scenario: Scenario) -> None:
        self._nursery, self._emulator = nursery, emulator
        self._database_url, self.scenario = database_url, scenario
        with copy_of(database_url) as copy:
            self.before = read_dump(copy)
            child = self._start(copy, None)
            start = time.monotonic()
            self.passed = child.await_end().passed
            self.seconds = time.monotonic() - start
            self.done = self.left = read_dump(copy)
            self._sync(copy)
            self.after = read_dump(copy)
            assert stored_states(copy) == known_states(emulator.world)
        assert contradictions(self.after) == []
        assert set(self.after.tables) == {*TABLES} - {"sync_runs"}

    def kill(self, *moments: Moment | float) -> bool:
        """
        Kill the command at this moment, or after this many seconds; check the state, and recover with a sync.

        With several moments, one command after the other is killed before that. False if one had ended.
        """
        codes = []
        with copy_of(self._database_url) as copy:
            for moment in moments:
                codes.append(self._end(copy, moment))
                self._check_what_is_left(copy)
            self._make_good(copy)
        return set(codes) == {-signal.SIGKILL}

    def kill_cold(self, seconds: float) -> bool:
        """Do the same with a process started from scratch, as a shell does."""
        with copy_of(self._database_url) as copy:
            process = start_command(self._environment(copy), *self.scenario.command)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=seconds)
            process.kill()
            process.communicate()
            self._check_what_is_left(copy)
            self._make_good(copy)
        return process.returncode == -signal.SIGKILL

    def _environment(self, database_url: str) -> dict[str, str]:
        return environment_for(self._emulator, database_url, page_size=PAGE)

    def _start(self, database_url: str, moment: Moment | None) -> Child:
        command = self.scenario.command
        return self._nursery.start(
            self._environment(database_url), *command, moment=moment, constants=SMALL_BATCHES
        )

    def _end(self, database_url: str, moment: Moment | float) -> int:
        if isinstance(moment, Moment):
            return self._start(database_url, moment).await_end().code
        return self._start(database_url, None).end_after(moment).code

    def _check_what_is_left(self, database_url: str) -> None:
        await_release(database_url)
        self.left = read_dump(database_url)
        assert damage(database_url) == []
        assert contradictions(self.left) == []
        assert miscounts(self.left, "inserted") == []
        assert untruths(self.left, self.before, self.done) == []

    def _make_good(self, database_url: str) -> None:
        self._sync(database_url)
        end = read_dump(database_url)
        assert contradictions(end) == []
        assert differences(end, self.after) == []
        known = len(self.before.runs)
        killed = [run["status"] for run in self.left.runs[known:]]
        assert killed.count("running") <= 1
        closed = ["interrupted" if status == "running" else status for status in killed]
        assert [run["status"] for run in end.runs[known:]] == [*closed, "succeeded"]

    def _sync(self, database_url: str) -> None:
        ended = self._nursery.run(self._environment(database_url), *self.scenario.remedy)
        assert (ended.code, ended.complaints) == (0, [])


def choose_moments(victim: Victim, number: int) -> list[Moment | float]:
    """Return this many moments: most around commits, covering each commit once before any twice."""
    dice = random.Random(number)
    last = victim.passed["commit"]
    order = dice.sample(range(1, last + 1), last)
    sides = {place: dice.random() < 1 / 2 for place in order}
    moments: list[Moment | float] = [
        Moment(what="commit", number=place, is_after=sides[place] ^ is_second)
        for is_second in (False, True)
        for place in order
    ][: number * 3 // 4]
    while len(moments) < number:
        place = dice.randint(1, victim.passed["statement"])
        moments.append(Moment(what="statement", number=place, is_after=dice.random() < 1 / 2))
        moments.append(dice.uniform(0, victim.seconds))
    return [*victim.scenario.moments, *moments][:number]


def kill_often(victim: Victim, number: int) -> None:
    print(f"kills: {number}")  # noqa: T201 - a figure of `make test-slow`
    for moment in choose_moments(victim, number):
        if isinstance(moment, Moment):
            assert victim.kill(moment)
        else:
            seconds = moment
            while not victim.kill(seconds):
                seconds /= 2


@contextlib.contextmanager
def a_victim(nursery: Nursery, databases: Databases, scenario: Scenario) -> Iterator[Victim]:
    with serve(a_varied_world(), Behaviour(page_cap=PAGE)) as emulator, databases.empty() as database_url:
        scenario.prepare(emulator, database_url)
        yield Victim(nursery, emulator, database_url, scenario)


def few_or(many: int, *, few: int) -> pytest.MarkDecorator:
    is_slow = [pytest.mark.slow, pytest.mark.timeout(3600)]
    return pytest.mark.parametrize("kills", [few, pytest.param(many, marks=is_slow)])


@few_or(170, few=3)
@one_in(3, "databases, name", KINDS, SCENARIOS, indirect=["databases"])
def test_killed_sync_leaves_consistent_state_and_next_recovers(nursery, databases, name, kills):
    with a_victim(nursery, databases, SCENARIOS[name]) as victim:
        kill_often(victim, kills)


@few_or(40, few=1)
@one_in(4, "databases, name", KINDS, UPGRADES, indirect=["databases"])
def test_killed_upgrade_is_atomic(nursery, databases, name, kills):
    with a_victim(nursery, databases, UPGRADES[name]) as victim:
        kill_often(victim, kills)


@pytest.mark.parametrize("name", ["no database", pytest.param("changes", marks=pytest.mark.slow)])
def test_repeatedly_killed_sync_eventually_completes(nursery, databases, name):
    with a_victim(nursery, databases, SCENARIOS[name]) as victim:
        numbers = range(2, victim.passed["commit"], 2)
        victim.kill(*(Moment(what="commit", number=number, is_after=True) for number in numbers))
        assert [run["status"] for run in victim.left.runs].count("interrupted") > 1


@few_or(20, few=1)
def test_sync_killed_in_fresh_process_recovers(nursery, databases, kills):
    with a_victim(nursery, databases, SCENARIOS["changes"]) as victim:
        dice = random.Random(kills)
        for _ in range(kills):
            seconds = dice.uniform(0.5, 2)
            while not victim.kill_cold(seconds):
                seconds *= 0.8


def test_removals_are_counted_if_killed_after_commit(nursery, databases):
    scenario = Scenario(prepare_removals, ("sync", "--full", "--no-results"))
    with a_victim(nursery, databases, scenario) as victim:
        number = victim.passed["commit"]
        while victim.kill(Moment(what="commit", number=number)) and victim.left.runs[-1]["finished_at"]:
            number -= 1
        assert victim.left.events[victim.left.runs[-1]["run_id"], "removed"]
        assert miscounts(victim.left, "removed") == []
