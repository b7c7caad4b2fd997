"""One wrong `Date` header does no lasting harm (promise P12), and hides no task (P1)."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from support.grids import one_in
from support.stored import as_instant
from support.worlds import a_world, query, settings_for, stored_states, true_states

from etl.emulator import Behaviour, serve
from etl.sync.api import make_client, writing
from etl.sync.options import SyncOptions
from etl.sync.run import Run

if TYPE_CHECKING:
    from etl.emulator import Emulator, World
    from etl.sync.summary import RunSummary

TASKS_ALONE = SyncOptions(with_results=False)
FULL = SyncOptions(is_full=True, with_results=False)
YEARS = 73 * dt.timedelta(days=365)
HOUR = dt.timedelta(hours=1)


def sync(emulator: Emulator, database_url: str, options: SyncOptions = TASKS_ALONE) -> RunSummary:
    """Sync on a machine whose clock agrees with the source's real time."""
    from etl.database import ensure_schema  # noqa: PLC0415

    settings = settings_for(emulator, database_url)
    with make_client(settings) as client, writing(database_url) as connection:
        with connection.begin():
            ensure_schema(connection)
        return Run(connection, client, settings, options, now=lambda: emulator.world.now).execute()


def watermark(database_url: str) -> dt.datetime | None:
    return as_instant(query(database_url, "SELECT watermark FROM sync_state")[0][0])


def replace_one(world: World, created_ago: dt.timedelta) -> str:
    """Delete a finished task and add one that was created a while ago, so that the count stays the same."""
    world.delete(next(task.task_id for task in world.tasks.values() if task.status == "SUCCESS"))
    task_id = world.create(created_at=world.now - created_ago)
    world.finish(task_id)
    return task_id


@one_in(
    2, "skew, meaning", [YEARS, dt.timedelta(days=1, hours=3), 20 * HOUR, 2 * HOUR], ["gte", "day", "ignored"]
)
def test_clock_in_the_future_hides_no_tasks_from_the_next_run(database_url, skew, meaning):
    world = a_world(60)
    with serve(world, Behaviour(date_created=meaning)) as emulator:
        sync(emulator, database_url)
        world.advance(4 * HOUR)
        emulator.behaviour.clock_skew = skew
        sync(emulator, database_url)
        emulator.behaviour.clock_skew = dt.timedelta(0)
        world.advance(4 * HOUR)
        new = replace_one(world, 3 * HOUR)
        sync(emulator, database_url)
        assert new in stored_states(database_url)
        assert watermark(database_url) <= world.now
        world.advance(4 * HOUR)
        new = replace_one(world, 3 * HOUR)
        emulator.reset_log()
        sync(emulator, database_url)
        assert new in stored_states(database_url)
        if meaning == "gte":
            asked = [request.query.get("date_created", "") for request in emulator.requests]
            assert (world.now - 5 * HOUR).strftime("%Y-%m-%dT%H:%M:%SZ") in asked


@pytest.mark.parametrize("skew", [YEARS, 2 * HOUR, -2 * HOUR, dt.timedelta(days=-400)])
@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_single_wrong_date_header_has_no_lasting_effect(database_url, number, skew):
    world = a_world(60)

    def turn(_request: object) -> None:
        is_wrong = len(emulator.requests) == number
        emulator.behaviour.clock_skew = skew if is_wrong else dt.timedelta(0)

    with serve(world, Behaviour(page_cap=10)) as emulator:
        sync(emulator, database_url)
        world.advance(4 * HOUR)
        replace_one(world, 2 * HOUR)
        emulator.reset_log()
        emulator.behaviour.before_request = turn
        sync(emulator, database_url, FULL)
        assert watermark(database_url) <= world.now
        observed = {as_instant(row[0]) for row in query(database_url, "SELECT observed_at FROM task_history")}
        assert max(observed) <= world.now + dt.timedelta(minutes=1)
        world.advance(4 * HOUR)
        emulator.reset_log()
        new = replace_one(world, 3 * HOUR)
        sync(emulator, database_url)
        assert new in stored_states(database_url)


def test_future_watermark_of_an_older_release_is_corrected(database_url):
    """The watermark is in 2099, and the run that set it is in `sync_runs`."""
    import sqlalchemy as sa  # noqa: PLC0415

    from etl.database import ensure_schema, open_engine, schema  # noqa: PLC0415

    world = a_world(60)
    with serve(world) as emulator:
        sync(emulator, database_url)
        world.advance(4 * HOUR)
        sync(emulator, database_url)
        spoilt_at = world.now
        engine = open_engine(database_url)
        with engine.begin() as connection:
            future = "2099-12-01 15:00:00.000000"
            value = f"{future}+00" if connection.dialect.name == "postgresql" else future
            connection.execute(sa.text(f"UPDATE sync_state SET watermark = '{value}'"))
            connection.execute(sa.text(f"UPDATE sync_runs SET watermark_after = '{value}' WHERE run_id = 2"))
            schema.downgrade(connection, "0008")
        with engine.begin() as connection:
            ensure_schema(connection)
        engine.dispose()
        world.advance(dt.timedelta(days=3))
        new = [replace_one(world, world.now - spoilt_at - HOUR), replace_one(world, HOUR)]
        sync(emulator, database_url)
        assert set(new) <= stored_states(database_url).keys()
        assert watermark(database_url) == world.now.replace(microsecond=0)


@pytest.mark.parametrize("header", ["missing", "garbage"])
def test_run_without_valid_date_header_keeps_the_watermark(database_url, header):
    world = a_world(60)
    with serve(world) as emulator:
        first = sync(emulator, database_url).watermark
        world.advance(4 * HOUR)
        emulator.behaviour.date_header = header
        assert sync(emulator, database_url).watermark == first
        emulator.behaviour.date_header = "ok"
        world.advance(4 * HOUR)
        new = replace_one(world, 7 * HOUR)
        assert sync(emulator, database_url).watermark == world.now.replace(microsecond=0)
        assert new in stored_states(database_url)
        assert true_states(world).items() <= stored_states(database_url).items()


def test_full_sync_corrects_a_future_watermark(database_url):
    world = a_world(60)
    with serve(world) as emulator:
        emulator.behaviour.clock_skew = 20 * HOUR
        sync(emulator, database_url)
        emulator.behaviour.clock_skew = dt.timedelta(0)
        world.advance(HOUR)
        sync(emulator, database_url, FULL)
        assert watermark(database_url) == world.now.replace(microsecond=0)
