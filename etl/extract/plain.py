"""
Records of exactly the documented shape, decoded in one go.

Most are, and to read them so costs a fifth of what it costs to doubt every field. Whatever is out of the
ordinary, an unknown field or an odd type, sends a record to the lenient reader, which makes the same of a
plain one.
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003 (msgspec reads the annotations)
import operator
import re
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from etl.extract.fields import sensible
from etl.extract.payload import MAX_ID, fingerprint

_Small = Annotated[int, Meta(gt=-(1 << 31), lt=1 << 31)]
_Large = Annotated[int, Meta(gt=-(1 << 63), le=(1 << 63) - 1)]
_Text = str | UnsetType | None
# Escapes of characters that no database takes, or that msgspec lets pass.
_SUSPECT = re.compile(rb"\\u0000|\\u[dD][89a-fA-F]")


class _TaskData(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    task_name: _Text = UNSET
    url: _Text = UNSET
    category: _Text = UNSET
    audio_language: _Text = UNSET
    subtitles_language: _Text = UNSET
    stop_objects: _Text = UNSET
    client_id: _Large | UnsetType | None = UNSET
    client_user_id: _Text = UNSET
    client_entity_data: _Text = UNSET


class _Times(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    started_at: dt.datetime | None = None
    completed_at: dt.datetime | None = None
    total_time_sec: float | None = None


class _Record(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    task_id: str
    task_name: str | None = None
    status: str | None = None
    progress: _Small | None = None
    task_data: _TaskData | None = None
    processing_time: _Times | None = None
    date_created: dt.datetime | None = None


_decode = msgspec.json.Decoder(_Record).decode
_NO_DATA, _NO_TIMES = _TaskData(), _Times()
_most_of = operator.attrgetter(
    *("url", "category", "audio_language", "subtitles_language", "stop_objects"),
    *("client_id", "client_user_id", "client_entity_data"),
)


class PlainTask(msgspec.Struct, frozen=True, gc=False):
    """
    A task like TaskPayload; what only some are looked at for is taken out when it is asked for.

    Most tasks are stored already, and are found to be by their fingerprint.
    """

    task_id: str
    status: str | None
    progress: int | None
    client_id: int | None
    started_at: dt.datetime | None
    completed_at: dt.datetime | None
    date_created: dt.datetime | None
    fingerprint: bytes
    size: int
    record: _Record

    @property
    def shows_times(self) -> bool:
        """Whether the record had `processing_time` at all."""
        return self.record.processing_time is not None

    @property
    def is_detail(self) -> bool:
        """Never: a task's own page has a result, and is not plain."""
        return False

    def content(self) -> tuple[Any, ...]:
        """Give the values of CONTENT, in its order; `task_data` as a Struct, whose JSON is the document's."""
        record = self.record
        data, times = record.task_data or _NO_DATA, record.processing_time or _NO_TIMES
        task_name = record.task_name
        if task_name is None and data.task_name is not UNSET:
            task_name = data.task_name
        return (
            *(task_name, self.status, self.progress),
            *[None if value is UNSET else value for value in _most_of(data)],
            *(record.task_data, self.started_at, self.completed_at, times.total_time_sec),
            *(self.date_created, None),
        )


def is_suspect(text: bytes) -> bool:
    """Tell whether a text has escapes that only the lenient reader may read."""
    # To look for two bytes costs a tenth of a regular expression.
    return b"\\u" in text and _SUSPECT.search(text) is not None


def decode_strict(raw: bytes | msgspec.Raw) -> PlainTask | None:
    """Read one record that is not suspect; None if it is not plain."""
    try:
        record = _decode(raw)
        data, times = record.task_data or _NO_DATA, record.processing_time or _NO_TIMES
        task_id, client_id = record.task_id, data.client_id
        started_at, completed_at, date_created = times.started_at, times.completed_at, record.date_created
        if len(task_id) > MAX_ID or not task_id.isprintable() or not task_id.strip(" ."):
            return None
        return PlainTask(
            task_id,
            record.status,
            record.progress,
            None if client_id is UNSET else client_id,
            None if started_at is None else sensible(started_at),
            None if completed_at is None else sensible(completed_at),
            None if date_created is None else sensible(date_created),
            fingerprint(raw),
            len(raw),
            record,
        )
    except (msgspec.DecodeError, ValueError, OverflowError):
        return None
