"""
The result of a finished task, as the detail request returns it.

Field names: https://gcore.com/docs/api-reference/streaming/ai/get-ai-task-result; the older names are those
of the same page until 2026, and both are read.
"""

from __future__ import annotations

import dataclasses
import re
import zlib
from decimal import Decimal
from typing import Any

import msgspec

from etl.errors import RecordError, UnreadablePage
from etl.extract.lenient import decode_leniently, members_of
from etl.extract.lenient_json import escaped, loads, split_object, storable
from etl.extract.payload import TaskPayload, payload_hash
from etl.extract.values import flag, json_array, number, readable, small_integer, text
from etl.models import ResultKind, TaskStatus, TaskType

# Smaller bodies are parsed by the thread that received them, several at a time.
PACKED_FROM = 1 << 20
_QUICKEST = 1
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_TIMECODE = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d+)?)")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Subtitle:
    """One subtitle of a transcript; times are seconds from the start of the video, None if unreadable."""

    start_seconds: float | None
    end_seconds: float | None
    text: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """One frame with a detection; `confidence` is between 0 and 1."""

    frame_number: int | None
    label: str | None
    confidence: float | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ResultPayload:
    """
    The result of one task. `result` is the whole document; None if the response had none, or an empty one.

    A large result is `packed` until it is stored: compressed text, with only `task` and `kind` parsed.
    Parsed, it would take many times the memory.
    """

    task: TaskPayload
    kind: str | None
    result: Any | None
    detected: bool | None = None
    speech_detected: bool | None = None
    languages: list[Any] | None = None
    text: str | None = None
    vtt: str | None = None
    error: str | None = None
    subtitles: tuple[Subtitle, ...] = ()
    detections: tuple[Detection, ...] = ()
    packed: bytes | None = dataclasses.field(default=None, repr=False)

    def unpacked(self) -> ResultPayload:
        """Return the payload with its result parsed."""
        return self if self.packed is None else _with_result(self.task, zlib.decompress(self.packed))


def read_detail(body: bytes) -> ResultPayload:
    """Return a task with its result, as `parse_detail` does, but leave a large result packed."""
    if len(body) < PACKED_FROM:
        return parse_detail(body)
    task, raw = _split(body)
    return ResultPayload(task=task, kind=_kind(task), result=None, packed=zlib.compress(raw, _QUICKEST))


def parse_detail(body: bytes) -> ResultPayload:
    """
    Return a task with its result.

    Raises UnreadablePage if the body is not a task: truncated, not JSON, or JSON of another shape.
    """
    return _with_result(*_split(body))


def _split(body: bytes) -> tuple[TaskPayload, bytes | memoryview]:
    """Return the task, and the text of its result unparsed."""
    try:
        members = _members(body)
        raw = members.pop("result", b"null")
        rest = b",".join(b"%b:%b" % (escaped(name).encode(), text) for name, text in members.items())
        task = decode_leniently(b"{%b}" % rest)
    except (RecordError, ValueError) as error:
        raise UnreadablePage(f"the response is not a task: {error}") from None
    task = msgspec.structs.replace(task, payload_hash=payload_hash(body), size=len(body), is_detail=True)
    return task, memoryview(raw)


def _members(body: bytes) -> dict[str, Any]:
    """Return the texts of the members of an object."""
    try:
        members = _decode_members(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return dict(split_object(body))
    # The strict decoder lets some invalid characters pass.
    return members if all(map(str.isprintable, members)) else dict(split_object(body))


def _with_result(task: TaskPayload, raw: bytes | memoryview) -> ResultPayload:
    result = _read(bytes(raw))
    kind = _kind(task)
    if not fullness(result):
        result = None
    if not isinstance(result, dict):
        return ResultPayload(task=task, kind=kind, result=result)
    return ResultPayload(
        task=task,
        kind=kind,
        result=result,
        detected=_detected(result),
        speech_detected=readable(result.get("speech_detected"), flag),
        languages=readable(result.get("languages"), json_array),
        text=readable(result.get("concatenated_text"), text),
        vtt=readable(result.get("vttContent"), text),
        error=readable(result.get("error"), text),
        subtitles=tuple(_subtitle(item) for item in _objects(result.get("subtitles"))),
        detections=tuple(_detection(frame) for frame in _objects(result.get("frames"))),
    )


def fullness(value: Any) -> int:  # noqa: ANN401
    """Return the number of scalars in a JSON value, without null and empty strings."""
    if isinstance(value, dict):
        return sum(fullness(item) for item in value.values())
    if isinstance(value, list):
        return sum(fullness(item) for item in value)
    return 0 if value is None or value == "" else 1


def timecode(value: Any) -> float:  # noqa: ANN401
    """Return `HH:mm:ss.fff`, hours optional, in seconds."""
    match = _TIMECODE.fullmatch(text(value).strip())
    if match is None:
        raise ValueError(value)
    seconds = Decimal(match[3].replace(",", "."))
    return float(int(match[1] or 0) * 3600 + int(match[2]) * 60 + seconds)


def _read(raw: bytes) -> Any:  # noqa: ANN401
    """Return the parsed result; what no database can store as JSON is kept as text."""
    try:
        if raw.startswith(b"{"):
            fields, unreadable = members_of(raw)
            return {**fields, **unreadable}
        return storable(loads(raw))
    except (ValueError, RecordError):
        return storable(raw.decode("utf-8", "surrogateescape"))


def _kind(task: TaskPayload) -> str | None:
    if task.status == TaskStatus.FAILURE:
        return ResultKind.FAILURE.value
    values = task.as_dict()
    name: str | None = values["task_name"]
    return name if name == TaskType.TRANSCRIPTION else values["category"] or name


def _detected(result: dict[str, Any]) -> bool | None:
    flags = [
        value
        for name, value in result.items()
        if name.endswith("_detected") and name != "speech_detected" and isinstance(value, bool)
    ]
    return any(flags) if flags else None


def _subtitle(item: dict[str, Any]) -> Subtitle:
    return Subtitle(
        start_seconds=readable(item.get("start_time"), timecode),
        end_seconds=readable(item.get("end_time"), timecode),
        text=readable(item.get("text"), text),
    )


def _detection(frame: dict[str, Any]) -> Detection:
    return Detection(
        frame_number=readable(frame.get("frame_number", frame.get("frame-number")), small_integer),
        label=readable(frame.get("label"), text),
        confidence=readable(frame.get("confidence", frame.get("score")), number),
    )


def _objects(value: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
