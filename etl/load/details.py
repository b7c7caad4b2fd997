"""
The values that only a task's detail endpoint returns.

Lists of the older shape have no `processing_time`, and any list may omit more. What the detail endpoint adds
is stored twice: in its columns, and in `tasks.detail`, so that the next list record, which omits it, does not
erase it. It belongs to one status of the task, and is dropped when the status changes.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from etl.extract.payload import CONTENT
from etl.load.dialect import is_any_of
from etl.models import API_FIELDS, TASKS, TERMINAL_STATUSES, FieldKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from etl.extract.payload import TaskPayload

# Status and progress have a history, which comes from lists.
ADDABLE = tuple(name for name in CONTENT if name not in {"status", "progress"})
_INSTANTS = {field.name for field in API_FIELDS if field.kind is FieldKind.INSTANT}
_TIMES = tuple(field.name for field in API_FIELDS if field.parent == "processing_time")
# Members of these are added one by one.
_OBJECTS = {"extra", *(field.name for field in API_FIELDS if field.kind is FieldKind.OBJECT)}


def detail_of(payload: TaskPayload) -> dict[str, Any]:
    """Return the values from a task's detail endpoint, as `tasks.detail` stores them."""
    values = payload.as_dict()
    return {"status": payload.status, **_as_json({name: values[name] for name in ADDABLE})}


def merge_detail(content: Mapping[Any, Any], detail: Mapping[str, Any] | None) -> dict[str, Any]:
    """
    Return the content of a list record, completed with the detail if that belongs to the same status.

    After a downgrade, a detail may have values for columns that do not exist; they stay in the detail.
    """
    content = dict(content)
    for name, value in _values_for_status(detail, content["status"]).items():
        if name in _OBJECTS:
            content[name] = {**value, **(content[name] or {})}
        elif name in content and content[name] is None:
            content[name] = dt.datetime.fromisoformat(value) if name in _INSTANTS else value
    return content


def only_in_detail(content: Mapping[Any, Any], detail: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the part of a detail that the content of a list record omits; None if it omits nothing."""
    parts = {}
    for name, value in _values_for_status(detail, content["status"]).items():
        part = value
        if name in _OBJECTS:
            part = {key: each for key, each in value.items() if key not in (content[name] or {})} or None
        elif content.get(name) is not None:
            part = None
        if part is not None:
            parts[name] = part
    return {"status": content["status"], **parts} if parts else None


def next_detail(payload: TaskPayload, known: Mapping[Any, Any]) -> dict[str, Any] | None:
    """
    Return the new `tasks.detail` of a task that is stored as `known`.

    The times of a task in a terminal status are not erased by a record that omits them.
    """
    if payload.is_detail:
        return detail_of(payload)
    content = payload.as_dict()
    detail = known["detail"]
    if known["status"] == payload.status and payload.status in TERMINAL_STATUSES:
        kept = {name: known[name] for name in _TIMES if content[name] is None and known[name] is not None}
        detail = {"status": payload.status, **_values_for_status(detail, payload.status), **_as_json(kept)}
    return only_in_detail(content, detail)


def add_details(connection: sa.Connection, payloads: Sequence[TaskPayload], now: dt.datetime) -> None:
    """Store what the detail endpoints add to the lists; the caller owns the transaction."""
    columns = [TASKS.c[name] for name in ("task_id", "status", "detail", *ADDABLE)]
    task_ids = [payload.task_id for payload in payloads]
    query = sa.select(*columns).where(is_any_of(connection, TASKS.c.task_id, task_ids))
    stored = {row["task_id"]: row for row in connection.execute(query).mappings()}
    changes = []
    for payload in payloads:
        row = stored.get(payload.task_id)
        if row is None or row["status"] != payload.status:
            continue
        listed = _listed(row)
        # An earlier response may have had more.
        detail = only_in_detail(
            listed, {**_values_for_status(row["detail"], payload.status), **detail_of(payload)}
        )
        if detail != row["detail"]:
            content = merge_detail(listed, detail)
            changes.append({f"new_{name}": content[name] for name in ADDABLE})
            changes[-1] |= {"new_detail": detail, "id": payload.task_id}
    if changes:
        values: dict[Any, Any] = {TASKS.c[name]: sa.bindparam(f"new_{name}") for name in (*ADDABLE, "detail")}
        values[TASKS.c.changed_at] = now
        statement = sa.update(TASKS).where(TASKS.c.task_id == sa.bindparam("id")).values(values)
        connection.execute(statement, changes)


def _as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, dt.datetime) else value
        for name, value in values.items()
        if value is not None
    }


def _values_for_status(detail: Mapping[str, Any] | None, status: str | None) -> dict[str, Any]:
    """Return the values of a detail that belong to this status, by column."""
    if detail is None or detail["status"] != status:
        return {}
    return {name: value for name, value in detail.items() if name != "status"}


def _listed(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the content of a stored row without its detail."""
    content = {name: row[name] for name in ("status", *ADDABLE)}
    for name, value in _values_for_status(row["detail"], row["status"]).items():
        content[name] = (
            {key: each for key, each in content[name].items() if key not in value} or None
            if name in _OBJECTS
            else None
        )
    return content
