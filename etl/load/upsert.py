"""
Upserts tasks, and records their changes as history events.

The caller owns the transaction and is the only writer, so rows that are read here cannot change before the
commit. Only rows that differ are written.
"""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from etl.extract.payload import CONTENT
from etl.load.bulk import fetch_pairs
from etl.load.dialect import is_any_of
from etl.load.task_rows import Change, Observation, TaskWriter
from etl.models import TASKS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from etl.extract.payload import TaskPayload

_CONTENT_COLUMNS = [column for column in TASKS.columns if column.name not in {"first_seen_at", "changed_at"}]


@dataclasses.dataclass(slots=True)
class UpsertCounts:
    """The number of tasks that were inserted, updated and unchanged."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    reappeared: int = 0  # among the updated


def upsert_tasks(
    connection: sa.Connection,
    payloads: Iterable[TaskPayload],
    observation: Observation,
    *,
    are_new: bool = False,
) -> UpsertCounts:
    """
    Insert or update tasks; if two payloads have the same id, the last one wins.

    If `are_new`, the caller knows that none of them is stored.
    """
    latest = {payload.task_id: payload for payload in payloads}
    new, differing = (list(latest), []) if are_new else _compare(connection, latest)
    stored = _rows(connection, differing)
    # In the order of the API, so that the order of events does not depend on the database.
    changes = [Change.between(stored[task_id], latest[task_id]) for task_id in differing]
    changes = [each for each in changes if _is_removed(each) or differs(each.content, each.known)]
    counts = UpsertCounts(
        inserted=len(new),
        updated=len(changes),
        unchanged=len(latest) - len(new) - len(changes),
        reappeared=sum(map(_is_removed, changes)),
    )
    if not observation.dry_run:
        writer = TaskWriter(connection, observation)
        writer.insert([latest[task_id] for task_id in new])
        writer.update(changes)
    return counts


def are_stored(connection: sa.Connection, payloads: Iterable[TaskPayload]) -> bool:
    """Return whether all of these are stored, not removed, and byte-for-byte unchanged."""
    new, differing = _compare(connection, {payload.task_id: payload for payload in payloads})
    return not new and not differing


def _compare(connection: sa.Connection, latest: Mapping[str, TaskPayload]) -> tuple[list[str], list[str]]:
    """Return the ids that are not stored, and those that are removed or whose record differs."""
    stored = _present_hashes(connection, latest)
    given = {task_id: payload.payload_hash for task_id, payload in latest.items()}
    if stored == given:
        return [], []
    new = [task_id for task_id in latest if task_id not in stored]
    return new, [task_id for task_id, seen in given.items() if stored.get(task_id, seen) != seen]


def _present_hashes(connection: sa.Connection, task_ids: Collection[str]) -> dict[str, bytes | None]:
    """
    Return the hash of each stored task, None if it is removed; other tasks may be included.

    In an ordered batch, the stored ids between the first and the last are usually those of the batch, and one
    range scan is faster than many lookups. SQLite sorts by code points, as Python does; Postgres sorts by the
    collation of the database, so it uses lookups.
    """
    if not task_ids:
        return {}
    present_hash = sa.case((TASKS.c.removed_at.is_(None), TASKS.c.payload_hash))
    query = sa.select(TASKS.c.task_id, present_hash)
    if connection.dialect.name == "sqlite":
        limit = 2 * len(task_ids)
        is_between = TASKS.c.task_id.between(min(task_ids), max(task_ids))
        between = fetch_pairs(connection, query.where(is_between).limit(limit))
        if len(between) < limit:
            return between
    return fetch_pairs(connection, query.where(is_any_of(connection, TASKS.c.task_id, task_ids)))


def _rows(connection: sa.Connection, task_ids: list[str]) -> dict[str, sa.RowMapping]:
    if not task_ids:
        return {}
    query = sa.select(*_CONTENT_COLUMNS).where(is_any_of(connection, TASKS.c.task_id, task_ids))
    return {row["task_id"]: row for row in connection.execute(query).mappings()}


def _is_removed(change: Change) -> bool:
    return change.known["removed_at"] is not None


def differs(content: Mapping[str, Any], stored: Mapping[Any, Any]) -> bool:
    """Return whether the content of a record differs from that of the stored row."""
    return not all(_is_same(content[name], stored[name]) for name in CONTENT)


def _is_same(one: Any, other: Any) -> bool:  # noqa: ANN401
    """
    Return whether two values are the same, JSON or not.

    Unlike in Python, `true` is not 1; and 1e23 is 10 to the 23rd, as Postgres returns it, not the nearest
    double.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    if {type(one), type(other)} == {int, float}:
        return Decimal(repr(one)) == Decimal(repr(other))
    return bool(one == other)
