"""
Insert-or-update of tasks, with the history events that it causes.

The caller owns the transaction and is the only writer; so what is read here holds until the commit, and only
rows that change are written.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import sqlalchemy as sa

from etl.extract.payload import CONTENT
from etl.load.bulk import encoder_for, fetch_pairs, insert_rows, update_rows
from etl.load.dialect import among
from etl.load.transform import content_of, creation_bounds, differs, encode_content
from etl.models import HISTORY, STATUSES_WITH_RESULT, TASKS

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Iterable, Mapping

    from etl.extract.payload import Task
    from etl.load.bulk import Row

_CONTENT_COLUMNS = [column for column in TASKS.columns if column.name not in {"first_seen_at", "changed_at"}]
# The order of the values in a row that is written.
_CHANGES = (
    *("task_id", *CONTENT, "created_after", "created_before"),
    *("payload_hash", "is_result_due", "removed_at", "changed_at"),
)
_NAMES = (*_CHANGES, "first_seen_at")
_EVENT_NAMES = (
    *("task_id", "run_id", "observed_at", "event"),
    *("status", "progress", "previous_status", "previous_progress"),
)


# SQLite numbers rows as they come, and copies what it has sooner than Python can say it again.
_ROW = sa.literal_column("rowid", sa.Integer)
_LAST_ROW = sa.select(sa.func.coalesce(sa.func.max(_ROW), 0)).select_from(TASKS)
_DISCOVERED = sa.insert(HISTORY).from_select(
    ["task_id", "run_id", "observed_at", "event", "status", "progress"],
    sa.select(
        TASKS.c.task_id,
        sa.bindparam("seen_in", type_=sa.Integer),
        sa.bindparam("seen_at", type_=HISTORY.c.observed_at.type),
        sa.literal("discovered"),
        TASKS.c.status,
        TASKS.c.progress,
    )
    .where(sa.bindparam("last_row") < _ROW)
    .order_by(_ROW),
)


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


def upsert_tasks(connection: sa.Connection, payloads: Iterable[Task], sighting: Sighting) -> Tally:
    """Make the stored tasks agree with `payloads`; of two with one id the last one counts."""
    latest = {payload.task_id: payload for payload in payloads}
    new, unlike = _compare(connection, latest)
    stored = _rows(connection, unlike)
    # In the order of the source, so that the events are the same whatever the database's order is.
    unlike_rows = (stored[task_id] for task_id in unlike)
    changed = [row for row in unlike_rows if row["removed_at"] is not None or _says_other(latest, row)]
    tally = Tally(
        inserted=len(new),
        updated=len(changed),
        unchanged=len(latest) - len(new) - len(changed),
        reappeared=sum(row["removed_at"] is not None for row in changed),
    )
    if not sighting.is_dry:
        writer = _Writer(connection, sighting)
        writer.insert([latest[task_id] for task_id in new])
        writer.update([(latest[row["task_id"]], row) for row in changed])
    return tally


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
    return fetch_pairs(connection, query.where(among(connection, TASKS.c.task_id, task_ids)))


def _rows(connection: sa.Connection, task_ids: list[str]) -> dict[str, sa.RowMapping]:
    if not task_ids:
        return {}
    query = sa.select(*_CONTENT_COLUMNS).where(among(connection, TASKS.c.task_id, task_ids))
    return {row["task_id"]: row for row in connection.execute(query).mappings()}


def _says_other(latest: Mapping[str, Task], row: sa.RowMapping) -> bool:
    return differs(content_of(latest[row["task_id"]]), row)


class _Writer:
    """Writes rows and the events that they cause, encoded for the driver."""

    def __init__(self, connection: sa.Connection, sighting: Sighting) -> None:
        self._connection, self._sighting = connection, sighting
        self._encoder = encoder_for(connection)
        self._now = self._encoder.instant(sighting.observed_at)

    def insert(self, payloads: list[Task]) -> None:
        if not payloads:
            return
        after, before = self._sighting.created_after, self._sighting.created_before
        rows = (
            (*self._row(payload, after, before, is_result_due=_has_result(payload.status)), self._now)
            for payload in payloads
        )
        if self._connection.dialect.name == "postgresql":
            insert_rows(self._connection, TASKS, _NAMES, rows)
            self._record(self._event(payload, "discovered", None, None) for payload in payloads)
        else:
            last_row = self._connection.scalar(_LAST_ROW)
            insert_rows(self._connection, TASKS, _NAMES, rows)
            seen = {"seen_in": self._sighting.run_id, "seen_at": self._sighting.observed_at}
            self._connection.execute(_DISCOVERED, {**seen, "last_row": last_row})

    def update(self, changes: list[tuple[Task, sa.RowMapping]]) -> None:
        rows, events = [], []
        for payload, known in changes:
            after = max(filter(None, (self._sighting.created_after, known["created_after"])), default=None)
            before = min(filter(None, (self._sighting.created_before, known["created_before"])), default=None)
            is_due = known["is_result_due"] or payload.status != known["status"]
            rows.append(
                self._row(payload, after, before, is_result_due=is_due and _has_result(payload.status))
            )
            state = known["status"], known["progress"]
            if known["removed_at"] is not None:
                events.append(self._event(payload, "reappeared", *state))
            elif (payload.status, payload.progress) != state:
                events.append(self._event(payload, "changed", *state))
        update_rows(self._connection, TASKS, _CHANGES, rows)
        self._record(events)

    def _row(
        self,
        payload: Task,
        created_after: dt.datetime | None,
        created_before: dt.datetime | None,
        *,
        is_result_due: bool,
    ) -> Row:
        after, before = creation_bounds(payload, created_after, created_before)
        instant = self._encoder.instant
        return (
            payload.task_id,
            *encode_content(payload, self._encoder),
            None if after is None else instant(after),
            None if before is None else instant(before),
            payload.fingerprint,
            is_result_due,
            None,
            self._now,
        )

    def _event(self, payload: Task, kind: str, status: str | None, progress: int | None) -> Row:
        run_id = self._sighting.run_id
        return (
            *(payload.task_id, run_id, self._now, kind),
            *(payload.status, payload.progress, status, progress),
        )

    def _record(self, events: Iterable[Row]) -> None:
        insert_rows(self._connection, HISTORY, _EVENT_NAMES, events)


def _has_result(status: str | None) -> bool:
    return status in STATUSES_WITH_RESULT
