"""Records as the API returns them, rendered once and kept as bytes until the task changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from etl.emulator.behaviour import Behaviour
    from etl.emulator.content import Json
    from etl.emulator.index import Index
    from etl.emulator.task import Task


def dump(value: object) -> bytes:
    """Return compact JSON in UTF-8, without escapes, as the API does."""
    return msgspec.json.encode(value)


def render_records(tasks: Iterable[Task], index: Index, behaviour: Behaviour) -> list[msgspec.Raw]:
    """Return the record of each task, from the cache if the shape has not changed."""
    shape = (
        behaviour.record_shape, behaviour.creation_field, behaviour.unstarted,
        repr(behaviour.extra_fields), repr(behaviour.extra_processing_time),
    )  # fmt: skip
    if shape != index.rendered_shape:
        for task in index.tasks.values():
            task.rendered = None
        index.rendered_shape = shape
    return [task.rendered or _render(task, behaviour) for task in tasks]


def _render(task: Task, behaviour: Behaviour) -> msgspec.Raw:
    raw = dump(make_record(task, behaviour)) if task.raw is None else task.raw
    task.rendered = msgspec.Raw(raw)
    return task.rendered


def make_record(task: Task, behaviour: Behaviour, *, detail: bool = False) -> Json:
    """Return the record of a task in the list, or with `detail` that of its details without the result."""
    data = dict(task.task_data)
    record: Json = {
        "task_id": task.task_id,
        "task_data": data,
        "progress": task.progress,
        "status": task.status,
    }
    is_older = behaviour.record_shape == "older"
    if is_older:
        record["task_name"] = data.pop("task_name", None)
    if detail or not is_older:
        times: Json = {
            "started_at": task.format_time(task.started_at),
            "completed_at": task.format_time(task.completed_at),
            "total_time_sec": task.total_time_sec,
        }
        if behaviour.unstarted == "absent":
            times = {name: value for name, value in times.items() if value is not None}
        record["processing_time"] = times | behaviour.extra_processing_time
    if behaviour.creation_field is not None:
        record[behaviour.creation_field] = task.created_at.isoformat().replace("+00:00", "Z")
    return record | behaviour.extra_fields


def render_detail(task: Task, now: dt.datetime, behaviour: Behaviour) -> bytes | None:
    """Return the details of a task; None if its result has expired and that is answered with an error."""
    if task.raw is not None:
        return task.raw
    record = make_record(task, behaviour, detail=True)
    result = task.result
    if result is not None and task.is_expired(now):
        if behaviour.expired_result in {"404", "410"}:
            return None
        result = None if behaviour.expired_result == "null" else {}
    elif result is not None and behaviour.result_spelling == "older":
        result = _older_spelling(result, behaviour)
    return dump(record | behaviour.extra_detail_fields | {"result": result})


def _older_spelling(result: Json, behaviour: Behaviour) -> Json:
    renamed = {"porn_detected" if name == "nsfw_detected" else name: value for name, value in result.items()}
    frames = renamed.get("frames")
    if isinstance(frames, list):
        renamed["frames"] = [
            {
                "label": frame["label"],
                "frame-number": frame["frame_number"],
                "score": str(float(frame["confidence"]))
                if behaviour.score_is == "string"
                else frame["confidence"],
            }
            for frame in frames
        ]
    return renamed
