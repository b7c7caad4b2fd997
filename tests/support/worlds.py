"""Emulated worlds, settings that point to an emulator, and queries on what was stored."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from etl.database import reading
from etl.emulator import TERMINAL, World, serve
from etl.settings import Settings, parse_api_key
from etl.sync.api import run_sync
from etl.sync.options import SyncOptions

if TYPE_CHECKING:
    from etl.emulator import Emulator

NOW = dt.datetime(2026, 6, 26, 12, 0, tzinfo=dt.UTC)


def a_world(tasks: int = 200, *, seed: int = 7, now: dt.datetime = NOW, **options: Any) -> World:
    """Return a small world whose clock only moves when it is advanced."""
    return World.seeded(tasks, seed=seed, now=now, span=dt.timedelta(days=20), **options)


def finished_world(tasks: int) -> World:
    """Return a world in which every task has been terminal for hours."""
    world = a_world(tasks)
    for task in list(world.tasks.values()):
        if task.status not in TERMINAL:
            world.finish(task.task_id)
    world.advance(dt.timedelta(hours=6))
    return world


def settings_for(emulator: Emulator, database_url: str, **options: Any) -> Settings:
    """Return settings for an emulator, with a short retry time."""
    options.setdefault("retry_for", dt.timedelta(seconds=5))
    return Settings(
        api_key=parse_api_key(emulator.api_key),
        base_url=emulator.base_url,
        database_url=database_url,
        **options,
    )


def sync_while_it_changes(database_url: str, **options: Any) -> World:
    """Sync four times, the last time fully, with changes and a deletion after each sync; return the world."""
    world = a_world(300, arrivals_per_hour=60)
    with serve(world) as emulator:
        settings = settings_for(emulator, database_url, lookback=dt.timedelta(minutes=5), **options)
        for is_full in (False, False, False, True):
            run_sync(settings, SyncOptions(is_full=is_full))
            world.advance(dt.timedelta(minutes=20))
            world.delete(min(task.task_id for task in world.tasks.values() if task.status == "SUCCESS"))
    return world


def query(database_url: str, statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
    """Return the rows that a statement selects."""
    with reading(database_url) as connection:
        return [tuple(row) for row in connection.execute(sa.text(statement), parameters)]


def stored_states(database_url: str) -> dict[str, tuple[str, int | None]]:
    """Return the stored status and progress of each task that is not marked as removed."""
    rows = query(database_url, "SELECT task_id, status, progress FROM tasks WHERE removed_at IS NULL")
    return {task_id: (status, progress) for task_id, status, progress in rows}


def true_states(world: World) -> dict[str, tuple[str, int | None]]:
    """Return the status and progress of each task of the world."""
    return {task.task_id: (task.status, task.progress) for task in world.tasks.values()}
