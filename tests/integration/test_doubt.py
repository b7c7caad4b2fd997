"""Wrong filters, counts, orders and clocks of the source cost requests, but no tasks."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import TYPE_CHECKING

import pytest
from support.grids import one_in
from support.stored import as_instant
from support.worlds import NOW, a_world, query, settings_for, stored_states, true_states

from etl.emulator import Behaviour, Fault, serve
from etl.errors import SourceError
from etl.sync.api import run_sync
from etl.sync.options import SyncOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.emulator import Emulator, World
    from etl.sync.summary import RunSummary

TASKS_ALONE = SyncOptions(with_results=False)
FULL = SyncOptions(is_full=True, with_results=False)


@pytest.fixture
def sqlite_url(sqlite_databases) -> Iterator[str]:
    with sqlite_databases.empty() as url:
        yield url


def sync(emulator: Emulator, database_url: str, options: SyncOptions = TASKS_ALONE, **settings) -> RunSummary:
    return run_sync(settings_for(emulator, database_url, **settings), options)


def replace_some(world: World, number: int = 5) -> None:
    """Three hours later, replace finished tasks with as many new ones, so that the count stays the same."""
    world.advance(dt.timedelta(hours=3))
    for task_id in [task.task_id for task in world.tasks.values() if task.status == "SUCCESS"][:number]:
        world.delete(task_id)
    for _ in range(number):
        world.finish(world.create(created_at=world.now))


@pytest.mark.parametrize("after", ["lte", "day", "exact", "ignored", "rejected"])
@pytest.mark.parametrize("is_forced", [True, False])
def test_changed_date_filter_is_detected_despite_correct_count(database_url, after, is_forced):
    world = a_world()
    with serve(world, Behaviour(page_cap=50)) as emulator:
        forced = {"date_filter": "gte"} if is_forced else {}
        sync(emulator, database_url, **forced)
        emulator.behaviour.date_created = after
        replace_some(world)
        summary = sync(emulator, database_url, **forced)
        assert true_states(world).items() <= stored_states(database_url).items()
        assert summary.date_filter == after


@pytest.mark.parametrize("after", ["gte", "lte", "exact", "ignored", "rejected"])
def test_changed_day_filter_loses_no_tasks_despite_correct_count(sqlite_url, after):
    world = a_world()
    with serve(world, Behaviour(page_cap=50, date_created="day")) as emulator:
        sync(emulator, sqlite_url)
        emulator.behaviour.date_created = after
        replace_some(world)
        sync(emulator, sqlite_url)
        assert true_states(world).items() <= stored_states(sqlite_url).items()


@pytest.mark.parametrize("status", ["REVOKED", "FAILURE", "SUCCESS"])
@pytest.mark.parametrize("nulls", ["first", "last"])
def test_unstarted_tasks_at_the_head_do_not_hide_new_ones(sqlite_url, nulls, status):
    world = a_world(50)
    for _ in range(40):
        world.set_status(world.create(created_at=NOW - dt.timedelta(days=1)), status)
    with serve(world, Behaviour(page_cap=10, date_created="ignored", nulls=nulls)) as emulator:
        sync(emulator, sqlite_url)
        replace_some(world)
        summary = sync(emulator, sqlite_url)
        assert true_states(world).items() <= stored_states(sqlite_url).items()
        assert summary.audit == "agrees" or "deleted" in summary.audit


@pytest.mark.parametrize("meaning", ["gte", "ignored"])
def test_task_that_starts_and_finishes_during_a_read_is_found(sqlite_url, meaning):
    """Before each request, one task changes and another is deleted, so the count does not reveal it."""
    world = a_world(60)
    steps = [world.start, world.finish]
    with serve(world, Behaviour(page_cap=10, date_created=meaning, nulls="last")) as emulator:
        sync(emulator, sqlite_url)
        world.advance(dt.timedelta(hours=2))
        new = [world.create(created_at=world.now) for _ in range(6)]
        for task_id in new[:3]:
            world.set_status(task_id, "PENDING")
        old = [task.task_id for task in world.tasks.values() if task.status == "SUCCESS"][:6]

        def move_on(_request: object) -> None:
            for number, task_id in enumerate(new):
                if len(emulator.requests) in (number + 2, number + 3):
                    steps[len(emulator.requests) - number - 2](task_id)
            if old:
                world.delete(old.pop())

        emulator.reset_log()
        emulator.behaviour.before_request = move_on
        sync(emulator, sqlite_url)
        emulator.behaviour.before_request = None
        assert set(new) <= stored_states(sqlite_url).keys()


@pytest.mark.parametrize("schedule", [{3: 9}, {3: 60}, {4: 10, 6: 3, 9: 50}, {2: 1}])
@pytest.mark.parametrize("count", ["ok", "null", "wrong"])
def test_page_size_change_during_scan_hides_no_tasks(sqlite_url, schedule, count):
    world = a_world(150)
    behaviour = Behaviour(page_cap=40, page_cap_schedule=schedule, count_is=count, count_error=-20)
    with serve(world, behaviour) as emulator:
        sync(emulator, sqlite_url, page_size=100)
        assert stored_states(sqlite_url) == true_states(world)


def test_per_page_count_without_next_hides_no_tasks(sqlite_url):
    world = a_world(150, arrivals_per_hour=30)
    with serve(world, Behaviour(page_cap=40, count_is="of_page", next_is="null")) as emulator:
        for _ in range(3):
            sync(emulator, sqlite_url)
            assert stored_states(sqlite_url) == true_states(world)
            world.advance(dt.timedelta(hours=3))


HOURS = (-48, -3, -0.1, 0.1, 3, 48)


@one_in(3, "hours, meaning", HOURS, ["gte", "day", "ignored"])
def test_creation_time_bounds_hold_despite_clock_skew(sqlite_url, hours, meaning):
    """The `Date` header differs by this many hours from the clock that dates the tasks."""
    world = a_world(100, arrivals_per_hour=30)
    behaviour = Behaviour(page_cap=50, clock_skew=dt.timedelta(hours=hours), date_created=meaning)
    with serve(world, behaviour) as emulator:
        for minutes in (0, 5, 90, 600):
            world.advance(dt.timedelta(minutes=minutes))
            sync(emulator, sqlite_url, lookback=dt.timedelta(minutes=10))
            assert true_states(world) == stored_states(sqlite_url)
    assert_bounds_hold(world, sqlite_url)


def test_the_first_task_of_an_account_with_a_wrong_count_is_not_dated_by_a_clock_that_is_behind(sqlite_url):
    world = a_world(0)
    behaviour = Behaviour(clock_skew=dt.timedelta(hours=-3), count_is="wrong", count_error=7)
    with serve(world, behaviour) as emulator:
        sync(emulator, sqlite_url)
        world.create(created_at=world.now)
        sync(emulator, sqlite_url)
        assert stored_states(sqlite_url) == true_states(world)
    assert_bounds_hold(world, sqlite_url)


@pytest.mark.parametrize("is_known", [False, True])
def test_partial_sync_with_slow_clock_keeps_bounds_correct(sqlite_url, is_known):
    """Whether the date-filter semantics were known before, or the account was empty until now."""
    world = a_world(30 if is_known else 0)
    with serve(world, Behaviour(clock_skew=dt.timedelta(hours=-3))) as emulator:
        sync(emulator, sqlite_url)
        for _ in range(3):
            world.create(created_at=world.now)
        sync(emulator, sqlite_url, SyncOptions(status="RECEIVED", with_results=False))
    assert_bounds_hold(world, sqlite_url)


def test_filter_that_stops_comparing_dates_does_not_hide_when_new_tasks_were_created(database_url):
    """Only a filter that means `gte` is asked whether a task is newer than the clock of the responses."""
    world = a_world(30)
    with serve(world) as emulator:
        sync(emulator, database_url)
        emulator.behaviour.date_created = "ignored"
        world.advance(dt.timedelta(hours=1))
        new = world.create(created_at=world.now)
        assert sync(emulator, database_url).date_filter == "ignored"
    [(before,)] = query(database_url, "SELECT created_before FROM tasks WHERE task_id = :new", new=new)
    assert before is not None
    assert_bounds_hold(world, database_url)


POSITIONS = range(1, 10)


def sync_while_a_task_is_created(
    emulator: Emulator, world: World, database_url: str, options: SyncOptions, *, position: int, fails: bool
) -> str | None:
    """Sync; create a task before the request at `position`, and if `fails`, let all later ones fail."""
    asked, created = 0, []

    def create(_: object) -> None:
        nonlocal asked
        asked += 1
        if asked == position:
            created.append(world.create(created_at=world.now))
            if fails:
                emulator.behaviour.faults = [Fault("500", times=1000)]

    emulator.behaviour.before_request = create
    with contextlib.suppress(SourceError):
        sync(emulator, database_url, options, page_size=10, retry_for=dt.timedelta(seconds=0.2))
    emulator.behaviour.before_request, emulator.behaviour.faults = None, []
    return created[0] if created else None


@one_in(4, "position, hours, is_full, fails", POSITIONS, [-3, 3], [False, True], [False, True])
def test_slow_clock_gives_no_false_bound_for_task_created_during_sync(
    sqlite_url, position, hours, is_full, fails
):
    world = a_world(30)
    with serve(world, Behaviour(page_cap=10, clock_skew=dt.timedelta(hours=hours))) as emulator:
        sync(emulator, sqlite_url)
        world.advance(dt.timedelta(hours=10))
        options = SyncOptions(is_full=is_full, with_results=False)
        sync_while_a_task_is_created(emulator, world, sqlite_url, options, position=position, fails=fails)
        assert_bounds_hold(world, sqlite_url)
        sync(emulator, sqlite_url, options)
        assert stored_states(sqlite_url) == true_states(world)
    assert_bounds_hold(world, sqlite_url)


def test_recent_task_has_upper_bound_while_others_are_created(database_url):
    world = a_world(30)
    with serve(world) as emulator:
        sync(emulator, database_url)
        world.advance(dt.timedelta(hours=10))
        waiting = world.create(created_at=world.now)
        emulator.behaviour.before_request = lambda _: world.create(
            created_at=world.now + dt.timedelta(seconds=20)
        )
        sync(emulator, database_url)
    assert_bounds_hold(world, database_url)
    ((before,),) = query(database_url, "SELECT created_before FROM tasks WHERE task_id = :id", id=waiting)
    assert as_instant(before) <= world.now + dt.timedelta(minutes=2)


@pytest.mark.parametrize("date_header", ["missing", "garbage"])
def test_unstarted_tasks_without_date_header_have_no_upper_bound(sqlite_url, date_header):
    """This machine's clock is months away from the emulator's, and must not be used."""
    world = a_world(100, arrivals_per_hour=30)
    with serve(world, Behaviour(page_cap=50, date_header=date_header)) as emulator:
        for hours in (0, 2):
            world.advance(dt.timedelta(hours=hours))
            sync(emulator, sqlite_url)
    assert_bounds_hold(world, sqlite_url)
    unstarted = query(sqlite_url, "SELECT created_before FROM tasks WHERE started_at IS NULL")
    assert unstarted
    assert {row[0] for row in unstarted} == {None}


def test_ignored_date_filter_keeps_bounds_correct(sqlite_url):
    """Records without times cannot contradict the filter."""
    world = a_world(100)
    with serve(world, Behaviour(record_shape="older")) as emulator:
        sync(emulator, sqlite_url)
        emulator.behaviour.date_created = "ignored"
        world.create(created_at=NOW - dt.timedelta(days=200))
        sync(emulator, sqlite_url)
    assert stored_states(sqlite_url) == true_states(world)
    assert_bounds_hold(world, sqlite_url)


def assert_bounds_hold(world: World, database_url: str) -> None:
    for task_id, after, before in query(
        database_url, "SELECT task_id, created_after, created_before FROM tasks"
    ):
        created = world.tasks[task_id].created_at
        assert after is None or as_instant(after) <= created
        assert before is None or created <= as_instant(before)


def test_creation_time_bounds_are_as_narrow_as_observed(database_url):
    world = a_world(100, arrivals_per_hour=30)
    with serve(world, Behaviour(page_cap=50)) as emulator:
        sync(emulator, database_url)
        before = set(world.tasks)
        world.advance(dt.timedelta(minutes=5))
        sync(emulator, database_url, lookback=dt.timedelta(minutes=10))
        new = world.tasks.keys() - before
    rows = query(database_url, "SELECT task_id, created_after, created_before FROM tasks")
    spans = [as_instant(high) - as_instant(low) for task_id, low, high in rows if task_id in new]
    assert spans
    assert max(spans) <= dt.timedelta(minutes=15, seconds=1)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_count_below_page_length_is_ignored(database_url, number):
    world = a_world(number)
    with serve(
        world, Behaviour(page_cap=50, date_created="day", count_is="wrong", count_error=-3)
    ) as emulator:
        sync(emulator, database_url)
        world.advance(dt.timedelta(hours=3))
        world.revoke(world.create(created_at=NOW - dt.timedelta(days=20)))
        sync(emulator, database_url)
        assert true_states(world).items() <= stored_states(database_url).items()


@pytest.mark.parametrize("after", ["ignored", "lte"])
def test_changed_day_filter_keeps_bounds_correct(database_url, after):
    world = a_world(0)
    world.finish(world.create(created_at=NOW - dt.timedelta(hours=2)))
    with serve(world, Behaviour(page_cap=50, date_created="day", unstarted="null")) as emulator:
        sync(emulator, database_url)
        emulator.behaviour.date_created = after
        world.advance(dt.timedelta(hours=3))
        late = world.create(created_at=NOW - dt.timedelta(days=20))
        world.revoke(late)
        sync(emulator, database_url)
        assert late in stored_states(database_url)
    assert_bounds_hold(world, database_url)


def test_ignored_filter_without_date_header_keeps_bounds_correct(sqlite_url):
    """A late task that has not started is listed first, so no earlier record contradicts the filter."""
    world = a_world(20)
    behaviour = Behaviour(page_cap=1, date_header="missing", nulls="first", unstarted="null")
    with serve(world, behaviour) as emulator:
        sync(emulator, sqlite_url)
        emulator.behaviour.date_created = "ignored"
        created_at = world.now - dt.timedelta(days=50)
        late = world.create(created_at=created_at)
        sync(emulator, sqlite_url)
        ((after,),) = query(sqlite_url, "SELECT created_after FROM tasks WHERE task_id = :id", id=late)
        assert after is None or as_instant(after) <= created_at


def test_clock_is_confirmed_for_an_unstarted_task_only_if_it_is_new_or_changed(database_url):
    world = a_world()
    with serve(world, Behaviour(page_cap=50)) as emulator:

        def confirmations() -> int:
            """Return how often a full sync asked for tasks created after the server's own time."""
            before = len(emulator.requests)
            sync(emulator, database_url, FULL)
            queries = [request.query for request in emulator.requests[before:]]
            asked = [query["date_created"] for query in queries if "date_created" in query]
            return sum(as_instant(since) == world.now + dt.timedelta(seconds=1) for since in asked)

        sync(emulator, database_url, FULL)
        others = confirmations()
        assert confirmations() == others
        task_id = world.create(created_at=world.now)
        assert confirmations() == others + 1
        assert confirmations() == others
        world.set_progress(task_id, 7)
        assert confirmations() == others + 1
