"""One payload in, one row out. Pure: no clock, no database."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from etl.extract.payload import TaskPayload

# What the API says of a task; two sightings that agree in these are one state.
CONTENT = (
    "task_name",
    "status",
    "progress",
    "url",
    "category",
    "audio_language",
    "subtitles_language",
    "stop_objects",
    "client_id",
    "client_user_id",
    "client_entity_data",
    "task_data",
    "started_at",
    "completed_at",
    "total_time_sec",
    "date_created",
    "extra",
)
# A new number makes every stored hash differ, so that a better parser reads old rows again.
_PARSER = b"gcore-etl 1"
# The API shows some times in whole seconds, cut off.
CLOCK_GRAIN = dt.timedelta(seconds=1)


def content_of(payload: TaskPayload) -> dict[str, Any]:
    """Give the columns that the API decides."""
    return {name: getattr(payload, name) for name in CONTENT}


def payload_hash(raw: bytes) -> bytes:
    """Give 16 bytes that differ whenever the record's text does: equal ones need no further look."""
    return hashlib.blake2b(raw, digest_size=16, person=_PARSER).digest()


def creation_bounds(
    payload: TaskPayload, *, observed_at: dt.datetime, absent_at: dt.datetime | None
) -> dict[str, dt.datetime | None]:
    """
    Give the narrowest bounds on the creation time that hold.

    The task is there at `observed_at`, and cannot have started before it was created; it was not there at
    `absent_at`. Bounds that contradict each other come from a task that was listed late: then only the upper
    one is true.
    """
    before = observed_at + CLOCK_GRAIN
    if payload.started_at is not None:
        before = min(before, payload.started_at + CLOCK_GRAIN)
    after = absent_at if absent_at is not None and absent_at < before else None
    return {"created_after": after, "created_before": before}


def differs(content: Mapping[str, Any], stored: Mapping[Any, Any]) -> bool:
    """Tell whether a sighting says something else than the row that is stored."""
    return any(content[name] != stored[name] for name in CONTENT)
