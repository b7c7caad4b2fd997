"""The shape of a page and of a task, once they are read."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import operator
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from etl.errors import UnreadablePage

if TYPE_CHECKING:
    import datetime as dt

    from etl.extract.plain import PlainTask

MAX_ID = 255
# A new number makes every stored fingerprint differ, so that a better parser reads old rows again.
_PARSER = b"gcore-etl 1"


# What the API says of a task, but its id; two sightings that agree in these are one state.
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
_content = operator.attrgetter(*CONTENT)


def fingerprint(raw: bytes | msgspec.Raw) -> bytes:
    """Give 16 bytes that differ whenever a record's text does: equal ones need no further look."""
    return hashlib.blake2b(raw, digest_size=16, person=_PARSER).digest()


class TaskPayload(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """
    One task as one answer showed it; times in UTC, every text storable.

    `fingerprint` is that of the record's text, `size` its length in bytes; the text itself is not kept.
    `shows_times` says whether the record had `processing_time` at all, `is_detail` whether it comes from the
    task's own page.
    """

    task_id: str
    task_name: str | None = None
    status: str | None = None
    progress: int | None = None
    url: str | None = None
    category: str | None = None
    audio_language: str | None = None
    subtitles_language: str | None = None
    stop_objects: str | None = None
    client_id: int | None = None
    client_user_id: str | None = None
    client_entity_data: str | None = None
    task_data: dict[str, Any] | None = None
    started_at: dt.datetime | None = None
    completed_at: dt.datetime | None = None
    total_time_sec: float | None = None
    date_created: dt.datetime | None = None
    extra: dict[str, Any] | None = None
    fingerprint: bytes = b""
    size: int = 0
    shows_times: bool = True
    is_detail: bool = False

    def content(self) -> tuple[Any, ...]:
        """Give the values of CONTENT, in its order."""
        values: tuple[Any, ...] = _content(self)
        return values


@dataclasses.dataclass(frozen=True, slots=True)
class UnusableRecord:
    """A record that cannot be loaded: its text as it came, and why."""

    raw: bytes
    reason: str

    @property
    def size(self) -> int:
        """How many bytes its text has."""
        return len(self.raw)


Task: TypeAlias = "TaskPayload | PlainTask"
Record: TypeAlias = "TaskPayload | PlainTask | UnusableRecord"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """
    One answer to a list request: a slice of the list at one instant.

    `served_at` is the server's clock, `received_at` when the answer was here, on the monotonic clock.
    `is_detail` if it is one task's own page instead, which may say more of the task than lists do.
    """

    records: tuple[Record, ...]
    count: int | None = None
    has_next: bool = False
    served_at: dt.datetime | None = None
    received_at: float | None = None
    is_detail: bool = False

    @functools.cached_property
    def unusable(self) -> list[UnusableRecord]:
        """The records that cannot be loaded, in order."""
        return [record for record in self.records if isinstance(record, UnusableRecord)]

    @functools.cached_property
    def tasks(self) -> list[Task]:
        """The records that can be loaded, in order."""
        return [record for record in self.records if not isinstance(record, UnusableRecord)]

    @functools.cached_property
    def ids(self) -> list[str]:
        """The ids of the records that have one, in order."""
        return [task.task_id for task in self.tasks]

    @functools.cached_property
    def keys(self) -> list[str | bytes]:
        """What tells one record from another: its id, or its text where it has none."""
        if not self.unusable:
            return [*self.ids]
        return [
            record.raw if isinstance(record, UnusableRecord) else record.task_id for record in self.records
        ]


class CorruptPage(UnreadablePage):
    """A whole page spoilt by one record; smaller ones will show which. `page` holds it all as one record."""

    def __init__(self, message: str, page: Page) -> None:
        self.page = page
        super().__init__(message)
