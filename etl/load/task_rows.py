"""Rows of `tasks` and the history events of their changes."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from etl.extract.payload import CONTENT, content_columns
from etl.load.bulk import insert_columns, insert_rows, update_rows
from etl.load.details import detail_of, merge_detail, next_detail
from etl.load.dialect import is_any_of
from etl.models import (
    HISTORY,
    RESULTS,
    STATUSES_WITH_RESULT,
    TASKS,
    TERMINAL_STATUSES,
    HistoryEvent,
    ResultState,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl.extract.payload import TaskPayload
    from etl.load.bulk import Row

# The API shows some times in whole seconds, truncated.
CLOCK_RESOLUTION = dt.timedelta(seconds=1)

# The order of the values in a changed row.
_CHANGES = (
    *("task_id", *CONTENT, "created_after", "created_before"),
    *("payload_hash", "is_result_due", "detail", "detail_due_at", "removed_at", "changed_at"),
)
# The database numbers the events.
EVENT_NAMES = tuple(HISTORY.c.keys())[1:]

# SQLite numbers rows in the order of insertion, and copies them faster than Python can send them again.
_ROW = sa.literal_column("rowid", sa.Integer)
_LAST_ROW = sa.select(sa.func.coalesce(sa.func.max(_ROW), 0)).select_from(TASKS)
_DISCOVERED = sa.insert(HISTORY).from_select(
    EVENT_NAMES[:6],
    sa.select(
        TASKS.c.task_id,
        sa.bindparam("seen_in", type_=sa.Integer),
        sa.bindparam("seen_at", type_=HISTORY.c.observed_at.type),
        sa.literal(HistoryEvent.DISCOVERED.value),
        TASKS.c.status,
        TASKS.c.progress,
    )
    .where(sa.bindparam("last_row") < _ROW)
    .order_by(_ROW),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """When and in which run tasks were observed, and the bounds on their creation that the list implies."""

    run_id: int
    observed_at: dt.datetime
    created_after: dt.datetime | None = None
    created_before: dt.datetime | None = None
    dry_run: bool = False


class Change(NamedTuple):
    """A stored task and its new record; `content` is that of the record, completed with `detail`."""

    payload: TaskPayload
    known: sa.RowMapping
    detail: dict[str, Any] | None
    content: dict[str, Any]

    @classmethod
    def between(cls, known: sa.RowMapping, payload: TaskPayload) -> Change:
        """Return the change from the stored row to the new record."""
        detail = next_detail(payload, known)
        return cls(payload, known, detail, merge_detail(payload.as_dict(), detail))


class TaskWriter:
    """Writes rows and their history events. The caller owns the transaction."""

    def __init__(self, connection: sa.Connection, observation: Observation) -> None:
        self._connection, self._observation = connection, observation

    def insert(self, payloads: list[TaskPayload]) -> None:
        """Insert tasks that are not stored yet."""
        if not payloads:
            return
        columns = self._new_columns(payloads)
        run_id, at = self._observation.run_id, self._observation.observed_at
        if self._connection.dialect.name == "postgresql":
            insert_columns(self._connection, TASKS, columns)
            number = len(payloads)
            events = {
                "task_id": columns["task_id"],
                "run_id": [run_id] * number,
                "observed_at": [at] * number,
                "event": [HistoryEvent.DISCOVERED.value] * number,
                "status": columns["status"],
                "progress": columns["progress"],
            }
            insert_columns(self._connection, HISTORY, events)
        else:
            last_row = self._connection.scalar(_LAST_ROW)
            insert_columns(self._connection, TASKS, columns)
            self._connection.execute(_DISCOVERED, {"seen_in": run_id, "seen_at": at, "last_row": last_row})

    def update(self, changes: list[Change]) -> None:
        """Update stored tasks."""
        rows, events = [], []
        back = [each.payload.task_id for each in changes if each.known["removed_at"] is not None]
        archived = _archived(self._connection, back)
        for change in changes:
            payload, known = change.payload, change.known
            rows.append(self._changed_row(change, is_archived=payload.task_id in archived))
            state = known["status"], known["progress"]
            if known["removed_at"] is not None:
                events.append(self._event(payload, HistoryEvent.REAPPEARED, *state))
            elif (payload.status, payload.progress) != state:
                events.append(self._event(payload, HistoryEvent.CHANGED, *state))
        update_rows(self._connection, TASKS, _CHANGES, rows)
        insert_rows(self._connection, HISTORY, EVENT_NAMES, events)

    def _new_columns(self, payloads: list[TaskPayload]) -> dict[str, Sequence[Any]]:
        """Return the columns of new rows, except `removed_at`, which is null."""
        observation, at = self._observation, self._observation.observed_at
        content = content_columns(payloads)
        after, before = observation.created_after, observation.created_before
        bounds = [_creation_bounds(started_at, after, before) for started_at in content["started_at"]]
        statuses = content["status"]
        return {
            "task_id": [payload.task_id for payload in payloads],
            **content,
            "created_after": [bound for bound, _ in bounds],
            "created_before": [bound for _, bound in bounds],
            "payload_hash": [payload.payload_hash for payload in payloads],
            "is_result_due": [status in STATUSES_WITH_RESULT for status in statuses],
            "detail": [detail_of(payload) if payload.is_detail else None for payload in payloads],
            "detail_due_at": [
                at if _is_detail_due(payload, status) else None
                for payload, status in zip(payloads, statuses, strict=True)
            ],
            "changed_at": [at] * len(payloads),
            "first_seen_at": [at] * len(payloads),
        }

    def _changed_row(self, change: Change, *, is_archived: bool) -> Row:
        payload, known, detail, content = change
        observation, status = self._observation, content["status"]
        after = max(filter(None, (observation.created_after, known["created_after"])), default=None)
        before = min(filter(None, (observation.created_before, known["created_before"])), default=None)
        is_same = status == known["status"]
        is_due = known["is_result_due"] or not is_same
        if known["removed_at"] is not None:
            is_due = is_due or not is_archived
        due_at = known["detail_due_at"] if is_same else None
        if not is_same and _is_detail_due(payload, status):
            due_at = observation.observed_at
        return (
            *(payload.task_id, *(content[name] for name in CONTENT)),
            *_creation_bounds(content["started_at"], after, before),
            *(payload.payload_hash, is_due and status in STATUSES_WITH_RESULT, detail, due_at),
            *(None, observation.observed_at),
        )

    def _event(
        self, payload: TaskPayload, event: HistoryEvent, status: str | None, progress: int | None
    ) -> Row:
        observation = self._observation
        return (
            *(payload.task_id, observation.run_id, observation.observed_at, event.value),
            *(payload.status, payload.progress, status, progress),
        )


def _creation_bounds(
    started_at: dt.datetime | None, created_after: dt.datetime | None, created_before: dt.datetime | None
) -> tuple[dt.datetime | None, dt.datetime | None]:
    """
    Return the narrowest bounds on the creation time that are certain.

    `created_after` is the filter of the list that showed the task, `created_before` a time at which it
    existed already; and a task is created before it starts. If the two contradict each other, only the upper
    one counts.
    """
    if started_at is not None:
        started_by = started_at + CLOCK_RESOLUTION
        if created_before is None or started_by < created_before:
            created_before = started_by
    if created_after is not None and created_before is not None and created_after >= created_before:
        created_after = None
    return created_after, created_before


def _is_detail_due(payload: TaskPayload, status: str | None) -> bool:
    """Return whether to request a task by id: it ended without a result, and the list omits its times."""
    if payload.has_times or payload.is_detail:
        return False
    return status in TERMINAL_STATUSES and status not in STATUSES_WITH_RESULT


def _archived(connection: sa.Connection, task_ids: list[str]) -> set[str]:
    if not task_ids:
        return set()
    query = sa.select(RESULTS.c.task_id).where(RESULTS.c.state == ResultState.ARCHIVED)
    return set(connection.scalars(query.where(is_any_of(connection, RESULTS.c.task_id, task_ids))))
