"""The shape of a page and of a task, once they are decoded."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET

from etl.errors import UnreadablePage
from etl.models import API_FIELDS, FieldKind

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping, Sequence

    from msgspec import UnsetType

    from etl.models.fields import ApiField

T = TypeVar("T")

MAX_ID = 255  # characters
# The columns of `tasks` whose values come from the API. If they are equal, the state of the task is the same.
# In the order in which records are decoded: the members of the record, those of its objects, the objects.
CONTENT = (
    *(
        field.name
        for parent in (None, "task_data", "processing_time")
        for field in API_FIELDS
        if field.parent == parent and field.kind is not FieldKind.OBJECT
    ),
    *sorted((field.name for field in API_FIELDS if field.kind is FieldKind.OBJECT), key="task_data".__ne__),
    "extra",
)


def decoder_id(fields: tuple[ApiField, ...], version: int = 1) -> bytes:
    """Return 16 bytes that differ with the fields, or with the version of what is done to their values."""
    return hashlib.blake2b(repr((version, fields)).encode(), digest_size=16).digest()


# Part of every hash: if a release adds a field, no stored hash matches, and the next full sync moves
# the values of the field from `extra` into its column.
_DECODER_ID = decoder_id(API_FIELDS)


_EMPTY_HASH = hashlib.blake2b(digest_size=16, person=_DECODER_ID)


def payload_hash(raw: bytes | msgspec.Raw) -> bytes:
    """Return 16 bytes: if they are equal, so are the records' texts and the decoders that read them."""
    found = _EMPTY_HASH.copy()
    found.update(raw)
    return found.digest()


class _Content(Generic[T]):
    """The value of CONTENT that has the name of the attribute."""

    def __set_name__(self, _owner: type, name: str) -> None:
        self._place = CONTENT.index(name)

    def __get__(self, payload: TaskPayload, _owner: type) -> T | None:
        value: T | UnsetType | None = payload.decoded[self._place]
        return None if value is UNSET else value


class TaskPayload(msgspec.Struct, frozen=True, gc=False):
    """
    One task as one response showed it; times in UTC, every string storable.

    `decoded` has the values of CONTENT, in its order, as the decoder left them. `payload_hash` is that of the
    record's text, `size` its length in bytes; the text itself is not kept. `has_times` is whether the record
    had `processing_time` at all, `is_detail` whether it came from the task's detail endpoint.
    """

    task_id: str
    decoded: tuple[Any, ...]
    payload_hash: bytes = b""
    size: int = 0
    has_times: bool = True
    is_detail: bool = False

    def content(self) -> tuple[Any, ...]:
        """Return the values of CONTENT, in its order; an object may be a struct with the same JSON."""
        return tuple([None if value is UNSET else value for value in self.decoded])

    def as_dict(self) -> dict[str, Any]:
        """Return the values of CONTENT by name."""
        return {
            name: msgspec.to_builtins(value) if isinstance(value, msgspec.Struct) else value
            for name, value in zip(CONTENT, self.content(), strict=True)
        }

    status = _Content[str]()
    progress = _Content[int]()
    client_id = _Content[int]()
    started_at = _Content["dt.datetime"]()
    completed_at = _Content["dt.datetime"]()
    date_created = _Content["dt.datetime"]()


def content_columns(payloads: Iterable[TaskPayload]) -> dict[str, Sequence[Any]]:
    """Return the values of CONTENT by name, one for each payload; at least one is required."""
    columns = zip(*[payload.decoded for payload in payloads], strict=True)
    return {
        name: [None if value is UNSET else value for value in column] if UNSET in column else column
        for name, column in zip(CONTENT, columns, strict=True)
    }


def task_payload(task_id: str, values: Mapping[str, Any] | None = None, **facts: Any) -> TaskPayload:  # noqa: ANN401
    """Return a payload with these values of CONTENT by name; the others are null."""
    return TaskPayload(task_id, tuple([(values or {}).get(name) for name in CONTENT]), **facts)


@dataclasses.dataclass(frozen=True, slots=True)
class UnusableRecord:
    """A record that cannot be loaded: its text as it was received, and the reason."""

    raw: bytes
    reason: str

    @property
    def size(self) -> int:
        """The length of its text in bytes."""
        return len(self.raw)


Record: TypeAlias = "TaskPayload | UnusableRecord"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """
    One response to a list request: a slice of the list at one instant.

    `served_at` is the server's clock, `received_at` when the response arrived, on the monotonic clock.
    `is_detail` if it came from a task's detail endpoint instead, which may return more than lists do.
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
        return [record for record in self.records if type(record) is UnusableRecord]

    @functools.cached_property
    def tasks(self) -> list[TaskPayload]:
        """The records that can be loaded, in order."""
        return [record for record in self.records if type(record) is TaskPayload]

    def column(self, name: str) -> list[Any]:
        """Return the values of one name of CONTENT in its tasks, in order and without nulls."""
        place = CONTENT.index(name)
        values = [task.decoded[place] for task in self.tasks]
        return [value for value in values if value is not None and value is not UNSET]

    @functools.cached_property
    def ids(self) -> list[str]:
        """The ids of the records that have one, in order."""
        return [task.task_id for task in self.tasks]

    @functools.cached_property
    def keys(self) -> list[str | bytes]:
        """What identifies each record: its id, or its text if it has none."""
        if not self.unusable:
            return [*self.ids]
        return [
            record.raw if isinstance(record, UnusableRecord) else record.task_id for record in self.records
        ]


class CorruptPage(UnreadablePage):
    """A page that one record makes unreadable; smaller pages show which. `page` holds it as one record."""

    def __init__(self, message: str, page: Page) -> None:
        self.page = page
        super().__init__(message)
