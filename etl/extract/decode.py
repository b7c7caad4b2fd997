"""
Pages and tasks as the API sends them, read once, at the door.

Both shapes are read: the documented one, and the older one without `processing_time` and with `task_name` at
the top. What the code does not know, or cannot make sense of, goes into `extra`; only a record without a
usable id is refused. Facts: https://gcore.com/docs/api-reference/streaming/ai/get-list-of-ai-tasks
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from etl.errors import RecordError, UnreadablePage
from etl.extract.fields import instant, integer, json_object, members_of, number, small_integer, text
from etl.extract.lenient_json import check_grammar, loads, split_array, split_object, trimmed
from etl.extract.payload import MAX_ID, CorruptPage, Page, TaskPayload, UnusableRecord, fingerprint
from etl.extract.plain import decode_strict, is_suspect

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from etl.extract.payload import Record, Task

_CREATION_FIELDS = ("date_created", "created_at", "created")
_TIMES = ("started_at", "completed_at")


class _Envelope(msgspec.Struct):
    results: list[msgspec.Raw]
    count: msgspec.Raw = msgspec.Raw(b"null")
    next: msgspec.Raw = msgspec.Raw(b"null")


_LOOKS_WHOLE = re.compile(rb'\s*\{.*"results"\s*:\s*\[.*\]\s*\}\s*', re.DOTALL)
_COUNT = re.compile(rb'\{\s*"count"\s*:\s*(\d+)\s*,')
_decode_envelope = msgspec.json.Decoder(_Envelope).decode


def decode_page(body: bytes, served_at: dt.datetime | None = None, received_at: float | None = None) -> Page:
    """
    Read one page, with when it was served and received; a record that cannot be read costs itself alone.

    Raises CorruptPage if the body looks like a whole page, but is no JSON; UnreadablePage if it is no page:
    cut short, something else, or JSON of another shape.
    """
    try:
        envelope = _decode_envelope(body)
        count, following = bytes(envelope.count), bytes(envelope.next)
        if is_suspect(body):
            records = tuple([decode_record(bytes(raw)) for raw in envelope.results])
        else:
            records = tuple([decode_strict(raw) or decode_record(bytes(raw)) for raw in envelope.results])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        members = _cut_page(body, served_at)
        records = tuple([decode_record(raw) for raw in split_array(members["results"])])
        count, following = members.get("count", b"null"), members.get("next", b"null")
    return Page(
        records=records,
        count=_count(count),
        has_next=following not in (b"null", b'""', b"false"),
        served_at=served_at,
        received_at=received_at,
    )


def _cut_page(body: bytes, served_at: dt.datetime | None) -> dict[str, bytes]:
    """Cut a page whose values are strange, but whose structure is sound, into its members."""
    body = trimmed(body)
    try:
        check_grammar(body)
        members = split_object(body)
    except ValueError as error:
        if not _LOOKS_WHOLE.fullmatch(body):
            raise UnreadablePage(f"the page is no whole JSON: {error}") from None
        raw = body[body.index(b"[") + 1 : body.rindex(b"]")].strip()
        reason = f"not JSON: {error}"
        count = _COUNT.match(body)
        raise CorruptPage(
            reason,
            Page(
                records=(UnusableRecord(raw, reason),),
                count=_count(count[1]) if count else None,
                served_at=served_at,
            ),
        ) from None
    if not members.get("results", b"").startswith(b"["):
        raise UnreadablePage("an answer without 'results' is no page of tasks")
    return members


def decode_record(raw: bytes) -> Record:
    """Read one record of a page; the answer says what is wrong with one that cannot be loaded."""
    try:
        return decode_task(raw)
    except RecordError as error:
        return UnusableRecord(raw, str(error))


def decode_task(raw: bytes) -> Task:
    """
    Read one task.

    Raises RecordError if it is no object, or has no id that names one task: text of 1 to 255 printable
    characters that can stand in a URL.
    """
    return (None if is_suspect(raw) else decode_strict(raw)) or decode_leniently(raw)


def decode_leniently(raw: bytes) -> TaskPayload:
    """Read one task whatever it looks like, field by field, or raise RecordError."""
    fields, extra = members_of(raw)
    task_id = _task_id(fields.pop("task_id", None))
    reader = _Reader(fields, extra)
    task_name = reader.take("task_name", text)
    task_data = reader.take("task_data", json_object)
    inner = _Reader(dict(task_data or {}), keep_unknown=False)
    processing_time = reader.take("processing_time", json_object)
    times = _Reader(processing_time or {})
    payload = {
        "task_id": task_id,
        "task_name": inner.take("task_name", text) if task_name is None else task_name,
        "status": reader.take("status", text),
        "progress": reader.take("progress", small_integer),
        "client_id": inner.take("client_id", integer),
        **{name: inner.take(name, text) for name in _TASK_DATA_TEXTS},
        "task_data": task_data,
        "shows_times": processing_time is not None,
        **{name: times.take(name, instant) for name in _TIMES},
        "total_time_sec": times.take("total_time_sec", number),
        # The first that can be read; what others say stays among the unknown fields.
        "date_created": next(filter(None, (reader.take(name, instant) for name in _CREATION_FIELDS)), None),
    }
    for name, part in (("task_data", inner), ("processing_time", times)):
        if rest := part.rest():
            reader.extra.setdefault(name, rest)
    known: dict[str, Any] = {"fingerprint": fingerprint(raw), "size": len(raw), **payload}
    return TaskPayload(**known, extra=reader.rest() or None)


_TASK_DATA_TEXTS = (
    "url",
    "category",
    "audio_language",
    "subtitles_language",
    "stop_objects",
    "client_user_id",
    "client_entity_data",
)


class _Reader:
    """Takes the known fields out of an object; what is left, or makes no sense, stays in `extra`."""

    def __init__(
        self, fields: dict[str, Any], extra: dict[str, Any] | None = None, *, keep_unknown: bool = True
    ) -> None:
        self.fields = fields
        self.extra = extra if extra is not None else {}
        self._keep_unknown = keep_unknown

    def take(self, name: str, read: Callable[[Any], Any]) -> Any:  # noqa: ANN401
        value = self.fields.pop(name, None)
        if value is None:
            return None
        try:
            return read(value)
        except (ValueError, TypeError, OverflowError):
            self.extra[name] = value
            return None

    def rest(self) -> dict[str, Any]:
        if self._keep_unknown:
            self.extra.update(self.fields)
        return self.extra


def _task_id(value: Any) -> str:  # noqa: ANN401
    if value is None or value == "":
        raise RecordError("no task_id")
    try:
        task_id = text(value)
    except TypeError:
        raise RecordError("task_id is no text") from None
    if len(task_id) > MAX_ID:
        raise RecordError(f"task_id is longer than {MAX_ID} characters")
    if not task_id.isprintable() or not task_id.strip() or set(task_id) <= {"."}:
        raise RecordError("task_id is not printable text that can stand in a URL")
    return task_id


def _count(raw: bytes) -> int | None:
    """Read the length that a list claims; None if it claims nothing that can be a length."""
    try:
        count = small_integer(loads(raw))
    except (ValueError, TypeError, OverflowError):
        return None
    return count if count >= 0 else None
