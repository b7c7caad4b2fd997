"""
Decoding of records of any shape, field by field.

A value of an unexpected type, or one that no database stores, affects only its own column: it goes into
`extra`. The fields are those of `etl.models.Task`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from etl.errors import RecordError
from etl.extract.lenient_json import MAX_DEPTH, escaped, is_shallow, is_suspect, loads, split_object, storable
from etl.extract.payload import MAX_ID, payload_hash, task_payload
from etl.extract.values import flag, instant, integer, json_object, number, small_integer, text
from etl.models import API_FIELDS, FieldKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from etl.extract.payload import TaskPayload
    from etl.models import ApiField

# Beside the fields, by their names: the ASCII JSON of each that held characters that no database stores.
ORIGINALS = "_originals"
_decode = msgspec.json.Decoder().decode
_READERS: dict[FieldKind, Callable[[Any], Any]] = {
    FieldKind.TEXT: text,
    FieldKind.SMALL_INTEGER: small_integer,
    FieldKind.INTEGER: integer,
    FieldKind.NUMBER: number,
    FieldKind.BOOLEAN: flag,
    FieldKind.INSTANT: instant,
    FieldKind.OBJECT: json_object,
}


def decode_leniently(raw: bytes) -> TaskPayload:
    """Return one task, whatever its record looks like. Raises RecordError if it has no usable id."""
    fields, extra = members_of(raw)
    task_id = _task_id(fields.pop("task_id", None))
    record = _Members(fields, extra)
    task_data = record.take("task_data", json_object)
    times = record.take("processing_time", json_object)
    objects = {
        None: record,
        # The column `task_data` has all of it.
        "task_data": _Members(dict(task_data or {}), keeps_unknown=False),
        "processing_time": _Members(times or {}),
    }
    values: dict[str, Any] = {"task_data": task_data}
    for field in API_FIELDS:
        if field.name != "task_data":
            values[field.name] = _read(field, objects)
    for name, members in objects.items():
        if name is not None and (rest := members.rest()):
            record.extra.setdefault(name, rest)
    values["extra"] = record.rest() or None
    return task_payload(
        task_id, values, payload_hash=payload_hash(raw), size=len(raw), has_times=times is not None
    )


def members_of(raw: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the fields of a record, and what of them could not be read or stored as it was received."""
    if not is_suspect(raw):
        try:
            fields = _decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        else:
            if not isinstance(fields, dict):
                raise RecordError("not an object")
            if raw.count(b"[") + raw.count(b"{") < MAX_DEPTH or is_shallow(fields):
                return fields, {}
    return _read_members(raw)


def _read_members(raw: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        members = split_object(raw)
    except ValueError as error:
        raise RecordError(f"not a JSON object: {error}") from None
    fields: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    originals: dict[str, str] = {}
    for key, member in members.items():
        name = storable(key)
        try:
            value = loads(member)
            clean = storable(value)
        except ValueError:
            extra[name] = storable(member.decode("utf-8", "surrogateescape"))
            continue
        if key == "task_id":
            fields[name] = value
            continue
        # A repaired name may be that of another field, which then keeps it.
        if key == name or name not in members:
            fields[name] = clean
        if clean != value or key != name:
            originals[escaped(key)[1:-1]] = escaped({key: value})
    if originals:
        extra[ORIGINALS if ORIGINALS not in members else f"_{ORIGINALS}"] = originals
    return fields, extra


def _read(field: ApiField, objects: dict[str | None, _Members]) -> Any:  # noqa: ANN401
    """Return the first value that can be read; the values of other members stay in `extra`."""
    reader = _READERS[field.kind]
    value = objects[field.parent].take(field.name, reader)
    for path in field.fallbacks:
        if value is not None:
            break
        parent, _, name = path.rpartition(".")
        value = objects[parent or None].take(name, reader)
    return value


class _Members:
    """The members of an object that are still to be read; the others, and the unreadable, are its extra."""

    def __init__(
        self, fields: dict[str, Any], extra: dict[str, Any] | None = None, *, keeps_unknown: bool = True
    ) -> None:
        self.fields = fields
        self.extra = extra if extra is not None else {}
        self._keeps_unknown = keeps_unknown

    def take(self, name: str, reader: Callable[[Any], Any]) -> Any:  # noqa: ANN401
        value = self.fields.pop(name, None)
        if value is None:
            return None
        try:
            return reader(value)
        except (ValueError, TypeError, OverflowError):
            self.extra[name] = value
            return None

    def rest(self) -> dict[str, Any]:
        if self._keeps_unknown:
            self.extra.update(self.fields)
        return self.extra


def _task_id(value: Any) -> str:  # noqa: ANN401
    if value is None or value == "":
        raise RecordError("no task_id")
    try:
        task_id = text(value)
    except TypeError:
        raise RecordError("task_id is not text") from None
    if len(task_id) > MAX_ID:
        raise RecordError(f"task_id is longer than {MAX_ID} characters")
    if not task_id.isprintable() or not task_id.strip() or set(task_id) <= {"."}:
        raise RecordError("task_id is not printable text that can stand in a URL")
    return task_id
