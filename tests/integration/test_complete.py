"""P1 with a misbehaving source: a sync stores every task, or it fails."""

from __future__ import annotations

import contextlib
import datetime as dt
import random
from typing import TYPE_CHECKING

import pytest
from support.grids import one_in
from support.worlds import NOW, a_world, finished_world, query, settings_for, stored_states, true_states

from etl.emulator import Behaviour, serve
from etl.errors import DriftingPages, EtlError, MassRemoval
from etl.sync.api import run_sync
from etl.sync.options import SyncOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from support.databases import Databases

    from etl.emulator import Emulator
    from etl.emulator.behaviour import RequestInfo
    from etl.emulator.world import World
    from etl.sync.summary import RunSummary

MEANINGS = ("gte", "lte", "day", "exact", "ignored", "rejected")
TASKS_ALONE = SyncOptions(with_results=False)
FULL = SyncOptions(is_full=True, with_results=False)
OLD = NOW - dt.timedelta(days=200)


# The behaviour of the source does not depend on the database, so the runs on Postgres are marked slow.
@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def databases(request) -> Databases:
    source: Databases = request.getfixturevalue(f"{request.param}_databases")
    return source


@pytest.fixture
def sqlite_url(sqlite_databases) -> Iterator[str]:
    with sqlite_databases.empty() as url:
        yield url


def sync(emulator: Emulator, database_url: str, options: SyncOptions = TASKS_ALONE, **settings) -> RunSummary:
    return run_sync(settings_for(emulator, database_url, **settings), options)


def finished(world: World, number: int) -> list[str]:
    ids = sorted(task.task_id for task in world.tasks.values() if task.status == "SUCCESS")
    return random.Random(number).sample(ids, number)


@pytest.mark.parametrize("meaning", MEANINGS)
def test_date_filter_semantics_are_detected_and_new_tasks_found(database_url, meaning):
    world = a_world(arrivals_per_hour=20)
    with serve(world, Behaviour(page_cap=50, date_created=meaning)) as emulator:
        assert sync(emulator, database_url).date_filter == meaning
        for hours in (0, 1, 30):
            world.advance(dt.timedelta(hours=hours))
            summary = sync(emulator, database_url)
            assert stored_states(database_url) == true_states(world)
            assert summary.audit == "agrees"
    assert query(database_url, "SELECT date_filter, count_bias, surplus FROM sync_state") == [(meaning, 0, 0)]


@one_in(3, "meaning, hours", MEANINGS, [-12, 0, 14])
def test_new_tasks_are_found_in_few_requests_in_every_time_zone(sqlite_url, meaning, hours):
    world = a_world(2000, arrivals_per_hour=20)
    behaviour = Behaviour(page_cap=50, date_created=meaning, utc_offset=dt.timedelta(hours=hours))
    with serve(world, behaviour) as emulator:
        sync(emulator, sqlite_url)
        world.advance(dt.timedelta(hours=1))
        summary = sync(emulator, sqlite_url)
        assert stored_states(sqlite_url) == true_states(world)
        in_flight = query(sqlite_url, "SELECT count(*) FROM in_flight")[0][0]
        assert summary.requests <= 20 + in_flight
        assert summary.date_filter == meaning


@one_in(3, "forced, actual", MEANINGS, MEANINGS)
def test_wrong_forced_date_filter_loses_no_tasks(sqlite_url, forced, actual):
    world = a_world(arrivals_per_hour=20)
    with serve(world, Behaviour(page_cap=50, date_created=actual)) as emulator:
        for _ in range(3):
            sync(emulator, sqlite_url, date_filter=forced)
            assert stored_states(sqlite_url) == true_states(world)
            world.advance(dt.timedelta(hours=2))


@one_in(3, "before, after", MEANINGS, MEANINGS)
def test_changed_date_filter_semantics_lose_no_tasks(sqlite_url, before, after):
    world = a_world(arrivals_per_hour=20)
    with serve(world, Behaviour(page_cap=50, date_created=before)) as emulator:
        sync(emulator, sqlite_url)
        emulator.behaviour.date_created = after
        world.advance(dt.timedelta(hours=2))
        sync(emulator, sqlite_url)
        assert stored_states(sqlite_url) == true_states(world)


@pytest.mark.parametrize("counted", [{}, {"count_is": "wrong", "count_error": 7}, {"count_is": "null"}])
def test_date_filter_stays_unknown_for_empty_account(database_url, counted):
    world = a_world(0)
    with serve(world, Behaviour(**counted)) as emulator:
        assert sync(emulator, database_url).date_filter == "unknown"
        world.finish(world.create())
        assert sync(emulator, database_url).date_filter == "gte"
        assert stored_states(database_url) == true_states(world)


def test_tasks_that_vanish_during_the_probe_leave_the_question_open(sqlite_url):
    world = a_world(1)

    def vanish(request: RequestInfo) -> None:
        if "date_created" in request.query and world.tasks:
            world.delete(next(iter(world.tasks)))

    with serve(world) as emulator:
        emulator.behaviour.before_request = vanish
        assert sync(emulator, sqlite_url).date_filter == "unknown"
        emulator.behaviour.before_request = None
        world.finish(world.create())
        assert sync(emulator, sqlite_url).date_filter == "gte"


@pytest.mark.parametrize("meaning", MEANINGS)
def test_late_task_with_old_date_is_found_by_next_run(database_url, meaning):
    world = a_world()
    with serve(world, Behaviour(page_cap=50, date_created=meaning)) as emulator:
        sync(emulator, database_url)
        late = world.create(created_at=OLD)
        world.set_status(late, "REVOKED")
        summary = sync(emulator, database_url)
        assert stored_states(database_url) == true_states(world)
        assert summary.status == "succeeded"
        assert "missed" in summary.audit or meaning in {"lte", "exact", "ignored", "rejected"}
    after = "SELECT created_after FROM tasks WHERE task_id = :id"
    assert query(database_url, after, id=late) == [(None,)]


def test_late_task_is_found_despite_unmarked_deleted_tasks(database_url):
    world = a_world()
    with serve(world, Behaviour(page_cap=50)) as emulator:
        sync(emulator, database_url)
        for task_id in finished(world, 3):
            world.delete(task_id)
        assert sync(emulator, database_url).audit.startswith("3 deleted")
        world.set_status(world.create(created_at=OLD), "REVOKED")
        sync(emulator, database_url)
        assert true_states(world).items() <= stored_states(database_url).items()


def test_deleted_tasks_are_marked_by_periodic_complete_scan(database_url):
    world = a_world()
    with serve(world, Behaviour(page_cap=50)) as emulator:
        sync(emulator, database_url)
        for task_id in finished(world, 3):
            world.delete(task_id)
        for _ in range(2):
            summary = sync(emulator, database_url)
            assert (summary.removed, summary.audit) == (0, "3 deleted, left for a complete scan")
        world.advance(dt.timedelta(days=1))
        assert sync(emulator, database_url).removed == 3
        assert stored_states(database_url) == true_states(world)
        assert sync(emulator, database_url).audit == "agrees"


@pytest.mark.parametrize("count", ["null", "wrong", "absent", "string"])
@pytest.mark.parametrize("meaning", ["gte", "exact"])
def test_unreliable_count_hides_no_tasks(sqlite_url, count, meaning):
    world = a_world(arrivals_per_hour=20)
    with serve(world, Behaviour(page_cap=50, count_is=count, date_created=meaning)) as emulator:
        for hours in (0, 2, 0):
            world.advance(dt.timedelta(hours=hours))
            sync(emulator, sqlite_url)
            assert stored_states(sqlite_url) == true_states(world)
        world.set_status(world.create(created_at=OLD), "REVOKED")
        sync(emulator, sqlite_url)
        assert stored_states(sqlite_url) == true_states(world)


def test_constant_count_error_causes_no_full_read(sqlite_url):
    world = a_world()
    with serve(world, Behaviour(page_cap=50, count_is="wrong", count_error=7)) as emulator:
        sync(emulator, sqlite_url)
        assert sync(emulator, sqlite_url).audit == "agrees"


class Restless:
    """Changes the world before each request: tasks are created, deleted, started and finished."""

    def __init__(self, world: World, seed: int, *, rate: float = 0.7, most: int = 200) -> None:
        self.world, self.chance, self.rate, self.left = world, random.Random(seed), rate, most
        self.throughout = set(world.tasks)

    def __call__(self, _request: object) -> None:
        while self.left and self.chance.random() < self.rate:
            self.left -= 1
            self.move()

    def move(self) -> None:
        world = self.world
        pick = self.chance.choice(sorted(world.tasks))
        match self.chance.randrange(4):
            case 0:
                world.create(created_at=world.now)
            case 1:
                world.delete(pick)
                self.throughout.discard(pick)
            case 2:
                world.set_status(pick, self.chance.choice(["PENDING", "STARTED", "SUCCESS"]))
            case 3:
                with contextlib.suppress(ValueError):
                    world.start(pick)


@one_in(2, "seed, is_ordered", range(6), [True, False])
def test_full_sync_finds_all_tasks_present_throughout(sqlite_url, seed, is_ordered):
    world = a_world(150)
    behaviour = Behaviour(page_cap=12, ordering_ignored=not is_ordered, page_cap_schedule={5: 10, 9: 11})
    with serve(world, behaviour) as emulator:
        # Without order, two consecutive reads must agree, so the world must stop changing before them.
        restless = Restless(world, seed, most=200 if is_ordered else 100)
        emulator.behaviour.before_request = restless
        sync(emulator, sqlite_url)
        emulator.behaviour.before_request = None
        assert restless.throughout <= stored_states(sqlite_url).keys()
        sync(emulator, sqlite_url, FULL)
        assert stored_states(sqlite_url) == true_states(world)


@one_in(3, "seed, meaning", range(4), MEANINGS)
def test_incremental_sync_finds_all_tasks_present_throughout(sqlite_url, seed, meaning):
    world = a_world(100, arrivals_per_hour=20)
    with serve(world, Behaviour(page_cap=12, date_created=meaning)) as emulator:
        sync(emulator, sqlite_url)
        world.advance(dt.timedelta(hours=2))
        restless = Restless(world, seed, most=60)
        emulator.behaviour.before_request = restless
        with contextlib.suppress(MassRemoval):
            sync(emulator, sqlite_url)
            assert restless.throughout <= stored_states(sqlite_url).keys()
        emulator.behaviour.before_request = None
        sync(emulator, sqlite_url)
        assert true_states(world).keys() <= stored_states(sqlite_url).keys()


def test_constantly_changing_unordered_list_fails_but_keeps_tasks(sqlite_url):
    world = a_world(60)
    with serve(world, Behaviour(page_cap=12, ordering_ignored=True)) as emulator:
        emulator.behaviour.before_request = lambda _request: world.create() and None
        with pytest.raises(DriftingPages) as caught:
            sync(emulator, sqlite_url)
    assert caught.value.exit_code == 1
    assert len(stored_states(sqlite_url)) >= 60


ODDITIES: dict[str, dict[str, object]] = {
    "ties at random": {"ties_at_random": True},
    "a record on two pages": {"duplicates": "across"},
    "a record twice on a page": {"duplicates": "page"},
    "404 past the end": {"past_end": "404"},
    "wrong next": {"next_is": "wrong"},
    "no next": {"next_is": "null"},
    "next names itself": {"next_page_loops": True},
    "older records": {"record_shape": "older"},
    "unstarted last": {"nulls": "last"},
    "unknown status refused": {"unknown_status_rejected": True},
    "no Date": {"date_header": "missing"},
    "senseless Date": {"date_header": "garbage"},
}


@one_in(3, "oddity, meaning", ODDITIES, ["gte", "day", "ignored"])
def test_other_list_oddities_hide_no_tasks(sqlite_url, oddity, meaning):
    behaviour = Behaviour(page_cap=30, date_created=meaning, **ODDITIES[oddity])
    world = a_world(100, arrivals_per_hour=10)
    with serve(world, behaviour) as emulator:
        for _ in range(3):
            sync(emulator, sqlite_url)
            assert stored_states(sqlite_url) == true_states(world)
            world.advance(dt.timedelta(hours=2))


SPOILT = (b'{"task_id":"x","a":[1}', b'{"task_id":"x","a":"b}', b'{"task_id":', b"}", b'{"a" "b"}]')


@one_in(3, "raw, position", SPOILT, ["00000000", "80000000", "ffffffff"])
def test_record_that_breaks_its_page_is_rejected_alone(database_url, raw, position):
    world = a_world(150)
    usable = true_states(world)
    world.add_raw(f"{position}-0000-4000-8000-000000000001", raw)
    with serve(world, Behaviour(page_cap=60)) as emulator:
        for _ in range(2):
            summary = sync(emulator, database_url, FULL)
            assert stored_states(database_url) == usable
            assert summary.rejected == 1
    ((kept,),) = query(database_url, "SELECT raw FROM rejected_records")
    assert raw.decode() in kept


class Blink:
    """Hides the first task for one request, once the list is read record by record past a position."""

    def __init__(self, world: World, place: int) -> None:
        self._world, self._place = world, place
        self._first = min(world.tasks)
        self.is_over = False

    def __call__(self, request: RequestInfo) -> None:
        if self._first in self._world.deleted:
            self._world.revive(self._first)
            self.is_over = True
        elif not self.is_over and self._is_behind(request.query):
            self._world.delete(self._first)

    def _is_behind(self, query: Mapping[str, str]) -> bool:
        return query.get("limit") == "1" and int(query["page"]) > self._place


def test_page_drift_beside_malformed_record_loses_no_tasks(database_url):
    """If pages are too short to overlap, a task that disappears and returns hides another one."""
    world = a_world(40)
    usable = true_states(world)
    place = len(usable) // 2
    world.add_raw(f"{sorted(usable)[place]}-", b'{"task_id":"x","a":[1}')
    blink = Blink(world, place + 2)
    with serve(world, Behaviour(before_request=blink)) as emulator:
        sync(emulator, database_url, FULL, concurrency=1)
        assert blink.is_over
        assert stored_states(database_url) == usable


def test_deleted_in_flight_task_is_marked_without_full_read(database_url):
    world = a_world()
    waiting = world.create()
    with serve(world, Behaviour(page_cap=50)) as emulator:
        sync(emulator, database_url)
        world.delete(waiting)
        summary = sync(emulator, database_url)
        assert (summary.removed, summary.audit) == (1, "agrees")
        assert stored_states(database_url) == true_states(world)


def test_ignored_task_id_filter_marks_no_task_as_removed(database_url):
    world = finished_world(200)
    waiting = world.create(created_at=OLD)
    with serve(world, Behaviour(page_cap=50, task_id_ignored=True)) as emulator:
        sync(emulator, database_url)
        for change in (world.start, world.finish):
            change(waiting)
            summary = sync(emulator, database_url)
            assert (summary.removed, summary.audit) == (0, "agrees")
            assert stored_states(database_url) == true_states(world)


def test_malformed_record_from_ignored_task_id_filter_is_rejected(database_url):
    world = finished_world(200)
    waiting = world.create(created_at=OLD)
    with serve(world, Behaviour(page_cap=50, task_id_ignored=True)) as emulator:
        sync(emulator, database_url)
        world.add_raw("00000000-", SPOILT[0])
        world.start(waiting)
        summary = sync(emulator, database_url)
        assert (summary.removed, summary.rejected) == (0, 1)
        assert stored_states(database_url).items() <= true_states(world).items()
        assert stored_states(database_url)[waiting][0] == "STARTED"


@pytest.mark.parametrize("is_ignored", [False, True])
def test_malformed_in_flight_task_does_not_affect_others(database_url, is_ignored):
    world = finished_world(200)
    spoilt, other = (world.create(created_at=OLD) for _ in range(2))
    with serve(world, Behaviour(page_cap=50, task_id_ignored=is_ignored)) as emulator:
        sync(emulator, database_url)
        known = stored_states(database_url)
        world.replace_raw(spoilt, SPOILT[0])
        world.start(other)
        summary = sync(emulator, database_url, retry_for=dt.timedelta(seconds=1))
        assert summary.removed == 0
        assert stored_states(database_url) == {**known, other: true_states(world)[other]}


def test_task_with_fuller_details_than_list_is_written_once(database_url):
    world = finished_world(200)
    world.start(world.create(created_at=OLD))
    behaviour = Behaviour(page_cap=50, task_id_ignored=True, record_shape="older")
    with serve(world, behaviour) as emulator:
        sync(emulator, database_url)
        stored = query(database_url, "SELECT * FROM tasks ORDER BY task_id")
        summary = sync(emulator, database_url)
        assert (summary.updated, summary.audit) == (0, "agrees")
        assert query(database_url, "SELECT * FROM tasks ORDER BY task_id") == stored


@pytest.mark.parametrize("status", ["SOMETHING_NEW", "STARTED", "RETRY"])
def test_in_flight_task_is_followed_through_unusual_statuses(database_url, status):
    world = a_world()
    task_id = world.create(created_at=OLD)
    with serve(world, Behaviour(page_cap=50, unknown_status_rejected=True)) as emulator:
        sync(emulator, database_url)
        for state in (status, "PENDING", status, "SUCCESS"):
            world.set_status(task_id, state)
            sync(emulator, database_url)
            assert stored_states(database_url)[task_id][0] == state


def test_creation_time_bounds_contain_true_time(database_url):
    world = a_world(arrivals_per_hour=30)
    with serve(world, Behaviour(page_cap=50)) as emulator:
        for minutes in (0, 5, 90, 600):
            world.advance(dt.timedelta(minutes=minutes))
            with contextlib.suppress(EtlError):
                sync(emulator, database_url, lookback=dt.timedelta(minutes=10))
    rows = query(
        database_url,
        "SELECT task_id FROM tasks WHERE created_after IS NOT NULL AND created_before IS NOT NULL",
    )
    assert len(rows) > 100
    for task in world.tasks.values():
        moment = task.created_at.astimezone(dt.UTC)
        held = query(
            database_url,
            "SELECT count(*) FROM tasks WHERE task_id = :id AND coalesce(created_after, :at) <= :at "
            "AND created_before >= :at",
            id=task.task_id,
            at=moment if database_url.startswith("postgres") else f"{moment:%Y-%m-%d %H:%M:%S.%f}",
        )
        assert held == [(1,)]
