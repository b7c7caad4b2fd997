"""
The result of a finished task as the detail call sends it, in every spelling that is known.

Facts: https://gcore.com/docs/api-reference/streaming/ai/get-ai-task-result; the older spellings are those of
the same page until 2026.
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
from etl.extract.payload import TaskPayload, fingerprint
from etl.extract.values import flag, json_array, number, readable, small_integer, text
from etl.models import TaskStatus, TaskType

# Smaller bodies are read where they arrive, so that several are at once.
PACKED_FROM = 1 << 20
_QUICKEST = 1
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
# The `kind` of the result of a task that failed.
FAILURE_KIND = "failure"
_TIMECODE = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d+)?)")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Subtitle:
    """One line of a transcript; its times are seconds from the start of the video, None where senseless."""

    start_seconds: float | None
    end_seconds: float | None
    text: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """One frame in which something was found; `confidence` is between 0 and 1."""

    frame_number: int | None
    label: str | None
    confidence: float | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ResultPayload:
    """
    What one task found. `result` is the whole of it; None if the answer held none, or an empty one.

    A large one is `packed` until it is to be stored: compressed text, beside which only `task` and `kind` are
    known. As values it is many times that.
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
        """Return it with all that it holds."""
        return self if self.packed is None else _with_result(self.task, zlib.decompress(self.packed))


def read_detail(body: bytes) -> ResultPayload:
    """Read a task with its result like `parse_detail`, but leave a large result packed."""
    if len(body) < PACKED_FROM:
        return parse_detail(body)
    task, raw = _split(body)
    return ResultPayload(task=task, kind=_kind(task), result=None, packed=zlib.compress(raw, _QUICKEST))


def parse_detail(body: bytes) -> ResultPayload:
    """
    Read a task with its result.

    Raises UnreadablePage if the body is no task: cut short, no JSON, or JSON of another shape.
    """
    return _with_result(*_split(body))


def _split(body: bytes) -> tuple[TaskPayload, bytes | memoryview]:
    """Return the task, read, and the text of its result, which is not looked into."""
    try:
        members = _members(body)
        raw = members.pop("result", b"null")
        rest = b",".join(b"%b:%b" % (escaped(name).encode(), text) for name, text in members.items())
        task = decode_leniently(b"{%b}" % rest)
    except (RecordError, ValueError) as error:
        raise UnreadablePage(f"the answer is no task: {error}") from None
    task = msgspec.structs.replace(task, fingerprint=fingerprint(body), size=len(body), is_detail=True)
    return task, memoryview(raw)


def _members(body: bytes) -> dict[str, Any]:
    """Cut an object into the texts of its members, at once where it is clean and else piece by piece."""
    try:
        members = _decode_members(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return dict(split_object(body))
    # The quick decoder lets some characters pass that are none.
    return members if all(map(str.isprintable, members)) else dict(split_object(body))


def _with_result(task: TaskPayload, raw: bytes | memoryview) -> ResultPayload:
    result = _read(bytes(raw))
    kind = _kind(task)
    if not fullness(result):
        return ResultPayload(task=task, kind=kind, result=None)
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
        subtitles=tuple(_subtitle(cue) for cue in _objects(result.get("subtitles"))),
        detections=tuple(_detection(frame) for frame in _objects(result.get("frames"))),
    )


def fullness(value: Any) -> int:  # noqa: ANN401
    """Count what a JSON value says; null, empty text and empty brackets, however deep, say nothing."""
    if isinstance(value, dict):
        return sum(fullness(item) for item in value.values())
    if isinstance(value, list):
        return sum(fullness(item) for item in value)
    return 0 if value is None or value == "" else 1


def timecode(value: Any) -> float:  # noqa: ANN401
    """Read `HH:mm:ss.fff`, hours optional, as seconds."""
    match = _TIMECODE.fullmatch(text(value).strip())
    if match is None:
        raise ValueError(value)
    seconds = Decimal(match[3].replace(",", "."))
    return float(int(match[1] or 0) * 3600 + int(match[2]) * 60 + seconds)


def _read(raw: bytes) -> Any:  # noqa: ANN401
    """Read it whole; what no database can hold as JSON is kept as its text."""
    try:
        if raw.startswith(b"{"):
            fields, unreadable = members_of(raw)
            return {**fields, **unreadable}
        return storable(loads(raw))
    except (ValueError, RecordError):
        return storable(raw.decode("utf-8", "surrogateescape"))


def _kind(task: TaskPayload) -> str | None:
    if task.status == TaskStatus.FAILURE:
        return FAILURE_KIND
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


def _subtitle(cue: dict[str, Any]) -> Subtitle:
    return Subtitle(
        start_seconds=readable(cue.get("start_time"), timecode),
        end_seconds=readable(cue.get("end_time"), timecode),
        text=readable(cue.get("text"), text),
    )


def _detection(frame: dict[str, Any]) -> Detection:
    return Detection(
        frame_number=readable(frame.get("frame_number", frame.get("frame-number")), small_integer),
        label=readable(frame.get("label"), text),
        confidence=readable(frame.get("confidence", frame.get("score")), number),
    )


def _objects(value: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
