"""
Insert-or-update of tasks, with the history events that it causes.

The caller owns the transaction and is the only writer; so what is read here holds until the commit, and only
rows that change are written.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import sqlalchemy as sa

from etl.load.bulk import fetch_pairs
from etl.load.details import completed, detail_after
from etl.load.dialect import is_any_of
from etl.load.task_rows import Observation, TaskWriter
from etl.load.transform import content_of, differs
from etl.models import TASKS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from etl.extract.payload import Task

_CONTENT_COLUMNS = [column for column in TASKS.columns if column.name not in {"first_seen_at", "changed_at"}]


@dataclasses.dataclass(slots=True)
class UpsertCounts:
    """What loading did to the tasks it was given."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    reappeared: int = 0  # among the updated


def upsert_tasks(
    connection: sa.Connection, payloads: Iterable[Task], observation: Observation
) -> UpsertCounts:
    """Make the stored tasks agree with `payloads`; of two with one id the last one counts."""
    latest = {payload.task_id: payload for payload in payloads}
    new, unlike = _compare(connection, latest)
    stored = _rows(connection, unlike)
    # In the order of the source, so that the events are the same whatever the database's order is.
    unlike_rows = (stored[task_id] for task_id in unlike)
    changed = [row for row in unlike_rows if row["removed_at"] is not None or _says_other(latest, row)]
    counts = UpsertCounts(
        inserted=len(new),
        updated=len(changed),
        unchanged=len(latest) - len(new) - len(changed),
        reappeared=sum(row["removed_at"] is not None for row in changed),
    )
    if not observation.dry_run:
        writer = TaskWriter(connection, observation)
        writer.insert([latest[task_id] for task_id in new])
        writer.update([(latest[row["task_id"]], row) for row in changed])
    return counts


def are_stored(connection: sa.Connection, payloads: Iterable[Task]) -> bool:
    """Tell whether all of these are stored, present, and to the byte as they were seen last."""
    new, unlike = _compare(connection, {payload.task_id: payload for payload in payloads})
    return not new and not unlike


def _compare(connection: sa.Connection, latest: Mapping[str, Task]) -> tuple[list[str], list[str]]:
    """Give the ids that are not stored, and those that are removed or whose record differs in any byte."""
    stored = _present_hashes(connection, latest)
    given = {task_id: payload.fingerprint for task_id, payload in latest.items()}
    if stored == given:
        return [], []
    new = [task_id for task_id in latest if task_id not in stored]
    return new, [task_id for task_id, seen in given.items() if stored.get(task_id, seen) != seen]


def _present_hashes(connection: sa.Connection, task_ids: Collection[str]) -> dict[str, bytes | None]:
    """
    Give the fingerprint of those that are stored, None where the task is removed, and maybe of others.

    In a batch that a list gives in order, all that is stored between the first and the last id are those very
    tasks, or nothing, and one walk through them is quicker than many lookups. SQLite sorts as Python does, by
    code points; how Postgres sorts is up to whoever made the database.
    """
    if not task_ids:
        return {}
    present_hash = sa.case((TASKS.c.removed_at.is_(None), TASKS.c.payload_hash))
    query = sa.select(TASKS.c.task_id, present_hash)
    if connection.dialect.name == "sqlite":
        most = 2 * len(task_ids)
        is_between = TASKS.c.task_id.between(min(task_ids), max(task_ids))
        between = fetch_pairs(connection, query.where(is_between).limit(most))
        if len(between) < most:
            return between
    return fetch_pairs(connection, query.where(is_any_of(connection, TASKS.c.task_id, task_ids)))


def _rows(connection: sa.Connection, task_ids: list[str]) -> dict[str, sa.RowMapping]:
    if not task_ids:
        return {}
    query = sa.select(*_CONTENT_COLUMNS).where(is_any_of(connection, TASKS.c.task_id, task_ids))
    return {row["task_id"]: row for row in connection.execute(query).mappings()}


def _says_other(latest: Mapping[str, Task], row: sa.RowMapping) -> bool:
    payload = latest[row["task_id"]]
    return differs(completed(content_of(payload), detail_after(payload, row)), row)
