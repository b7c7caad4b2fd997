"""
Pages and tasks as the API sends them, decoded.

Two shapes are known: the documented one, and an older one without `processing_time` and with `task_name` at
the top. What has no column, or is of an unexpected type, goes into `extra`; only a record without a usable id
is rejected. Facts: https://gcore.com/docs/api-reference/streaming/ai/get-list-of-ai-tasks
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from etl.errors import RecordError, UnreadablePage
from etl.extract.lenient import decode_leniently
from etl.extract.lenient_json import is_suspect, loads, split_array, split_object, trimmed
from etl.extract.payload import CorruptPage, Page, UnusableRecord
from etl.extract.strict import decode_strict
from etl.extract.values import small_integer

if TYPE_CHECKING:
    import datetime as dt

    from etl.extract.payload import Record, TaskPayload


class _Envelope(msgspec.Struct):
    results: list[msgspec.Raw]
    count: msgspec.Raw = msgspec.Raw(b"null")
    next: msgspec.Raw = msgspec.Raw(b"null")


_LOOKS_WHOLE = re.compile(rb'\s*\{.*"results"\s*:\s*\[.*\]\s*\}\s*', re.DOTALL)
_COUNT = re.compile(rb'\{\s*"count"\s*:\s*(\d+)\s*,')
_decode_envelope = msgspec.json.Decoder(_Envelope).decode


def decode_page(body: bytes, served_at: dt.datetime | None = None, received_at: float | None = None) -> Page:
    """
    Return one page, with the times when it was served and received.

    A record that cannot be read becomes an UnusableRecord, and the others are not affected. Raises
    CorruptPage if the body looks like a whole page but is not JSON; UnreadablePage if it is not a page:
    truncated, something else, or JSON of another shape.
    """
    try:
        envelope = _decode_envelope(body)
        count, following = bytes(envelope.count), bytes(envelope.next)
        if is_suspect(body):
            records = tuple([decode_record(bytes(raw)) for raw in envelope.results])
        else:
            records = tuple([decode_strict(raw) or decode_record(bytes(raw)) for raw in envelope.results])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        members, texts = _split_page(body, served_at)
        records = tuple([decode_record(raw) for raw in texts])
        count, following = members.get("count", b"null"), members.get("next", b"null")
    return Page(
        records=records,
        count=_count(count),
        has_next=following not in (b"null", b'""', b"false"),
        served_at=served_at,
        received_at=received_at,
    )


def decode_record(raw: bytes) -> Record:
    """Return one record of a page; an UnusableRecord says why it cannot be loaded."""
    try:
        return decode_task(raw)
    except RecordError as error:
        return UnusableRecord(raw, str(error))


def decode_task(raw: bytes) -> TaskPayload:
    """
    Return one task.

    Raises RecordError if it is not an object, or has no id that names one task: text of 1 to 255 printable
    characters that can stand in a URL.
    """
    return (None if is_suspect(raw) else decode_strict(raw)) or decode_leniently(raw)


def _split_page(body: bytes, served_at: dt.datetime | None) -> tuple[dict[str, bytes], list[bytes]]:
    """Return the members of a page with values that a strict parser rejects, and the texts of its records."""
    body = trimmed(body)
    try:
        members = split_object(body)
        results = members.get("results", b"")
        texts = split_array(results) if results.startswith(b"[") else None
    except ValueError as error:
        if not _LOOKS_WHOLE.fullmatch(body):
            raise UnreadablePage(f"the page is not a whole JSON document: {error}") from None
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
    if texts is None:
        raise UnreadablePage("a response without 'results' is not a page of tasks")
    return members, texts


def _count(raw: bytes) -> int | None:
    """Return the length that a list claims; None if it claims nothing that can be a length."""
    try:
        count = small_integer(loads(raw))
    except (ValueError, TypeError, OverflowError):
        return None
    return count if count >= 0 else None
