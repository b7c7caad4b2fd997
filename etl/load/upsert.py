"""
Insert-or-update of tasks, with the history events that it causes.

The caller owns the transaction and is the only writer; so what is read here holds until the commit, and only
rows that change are written.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from etl.load.dialect import among, insert
from etl.load.transform import content_of, creation_bounds, differs, payload_hash
from etl.models import STATUSES_WITH_RESULT, Base

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from etl.extract.payload import TaskPayload

TASKS = Base.metadata.tables["tasks"]
HISTORY = Base.metadata.tables["task_history"]
_COLUMNS = [column.name for column in TASKS.columns]
_CONTENT_COLUMNS = [column for column in TASKS.columns if column.name not in {"first_seen_at", "changed_at"}]


@dataclasses.dataclass(slots=True)
class Tally:
    """What loading did to the tasks it was given."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    reappeared: int = 0  # among the updated


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """When and in which run the tasks were seen, and, as far as it is known, when they were created."""

    run_id: int
    observed_at: dt.datetime
    created_after: dt.datetime | None = None
    created_before: dt.datetime | None = None
    is_dry: bool = False


def upsert_tasks(connection: sa.Connection, payloads: Iterable[TaskPayload], sighting: Sighting) -> Tally:
    """Make the stored tasks agree with `payloads`; of two with one id the last one counts."""
    latest = {payload.task_id: payload for payload in payloads}
    hashes = {task_id: payload_hash(payload.raw) for task_id, payload in latest.items()}
    suspects = _unlike(connection, hashes)
    stored = {row["task_id"]: row for row in _rows(connection, suspects)}
    tally = Tally(unchanged=len(latest) - len(suspects))
    rows: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    for task_id in suspects:
        payload, known = latest[task_id], stored.get(task_id)
        content = content_of(payload)
        if known is not None and known["removed_at"] is None and not differs(content, known):
            tally.unchanged += 1
            continue
        rows.append(_row(payload, content, known, hashes[task_id], sighting))
        if event := _event(payload, known, sighting):
            events.append(event)
        if known is None:
            tally.inserted += 1
        else:
            tally.updated += 1
            tally.reappeared += known["removed_at"] is not None
    if not sighting.is_dry:
        _write(connection, rows, events)
    return tally


def are_stored(connection: sa.Connection, payloads: Iterable[TaskPayload]) -> bool:
    """Tell whether all of these are stored, present, and to the byte as they were seen last."""
    return not _unlike(connection, {payload.task_id: payload_hash(payload.raw) for payload in payloads})


def _unlike(connection: sa.Connection, hashes: Mapping[str, bytes]) -> list[str]:
    """Give the ids that are not stored, or marked as removed, or whose record is not the same to the byte."""
    query = sa.select(TASKS.c.task_id, TASKS.c.payload_hash).where(
        among(connection, TASKS.c.task_id, hashes), TASKS.c.removed_at.is_(None)
    )
    same = {task_id for task_id, stored in connection.execute(query) if stored == hashes[task_id]}
    return [task_id for task_id in hashes if task_id not in same]


def _rows(connection: sa.Connection, task_ids: Collection[str]) -> Iterator[sa.RowMapping]:
    if not task_ids:
        return iter(())
    query = sa.select(*_CONTENT_COLUMNS).where(among(connection, TASKS.c.task_id, task_ids))
    return iter(connection.execute(query).mappings())


def _row(
    payload: TaskPayload,
    content: dict[str, Any],
    known: sa.RowMapping | None,
    text_hash: bytes,
    sighting: Sighting,
) -> dict[str, Any]:
    bounds = {
        name: narrower(filter(None, (getattr(sighting, name), known and known[name])), default=None)
        for name, narrower in (("created_after", max), ("created_before", min))
    }
    has_result = payload.status in STATUSES_WITH_RESULT
    had_result = known is not None and known["status"] in STATUSES_WITH_RESULT
    return {
        "task_id": payload.task_id,
        **content,
        **creation_bounds(payload, **bounds),
        "payload_hash": text_hash,
        "is_result_due": has_result and (known["is_result_due"] if had_result and known else True),
        "first_seen_at": sighting.observed_at,
        "changed_at": sighting.observed_at,
        "removed_at": None,
    }


def _event(payload: TaskPayload, known: sa.RowMapping | None, sighting: Sighting) -> dict[str, Any] | None:
    if known is None:
        kind = "discovered"
    elif known["removed_at"] is not None:
        kind = "reappeared"
    elif (payload.status, payload.progress) != (known["status"], known["progress"]):
        kind = "changed"
    else:
        return None
    return {
        "task_id": payload.task_id,
        "run_id": sighting.run_id,
        "observed_at": sighting.observed_at,
        "event": kind,
        "status": payload.status,
        "progress": payload.progress,
        "previous_status": known["status"] if known else None,
        "previous_progress": known["progress"] if known else None,
    }


def _write(connection: sa.Connection, rows: list[dict[str, Any]], events: list[dict[str, Any]]) -> None:
    if rows:
        statement = insert(connection, TASKS)
        # Among rows to write there may be new and known ones: one statement takes both.
        kept = {"task_id", "first_seen_at"}
        changes = {name: statement.excluded[name] for name in _COLUMNS if name not in kept}
        connection.execute(statement.on_conflict_do_update(index_elements=["task_id"], set_=changes), rows)
    if events:
        connection.execute(sa.insert(HISTORY), events)
