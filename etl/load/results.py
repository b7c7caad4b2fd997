"""Archiving results with their subtitles and detections; a result is never replaced by an emptier one."""

from __future__ import annotations

import dataclasses
import datetime as dt
import operator
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from etl.extract.result import fullness
from etl.load.bulk import encoder_for, insert_rows, update_rows
from etl.load.details import add_details
from etl.load.dialect import is_any_of
from etl.load.subtitle_formats import as_webvtt, has_subtitles
from etl.load.transcript_index import index_transcripts
from etl.load.transform import CLOCK_RESOLUTION
from etl.models import DETAIL_DUE, DETECTIONS, RESULT_DUE, RESULTS, SUBTITLES, TASKS, ResultState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from etl.extract.result import ResultPayload
    from etl.load.bulk import Row
    from etl.load.due_results import DueResult
    from etl.load.transcript_index import Transcript

_COLUMNS = tuple(column.name for column in RESULTS.columns)
# Answers are converted to rows in parts of this size, because rows take many times the memory of an answer.
MAX_PART_BYTES = 4 * 1024 * 1024
_FROM_PAYLOAD = ("kind", "result", "detected", "speech_detected", "languages", "text", "vtt", "error")

# Wait before the next attempt for a result that is not available yet; it doubles with each attempt.
MIN_WAIT, MAX_WAIT = dt.timedelta(minutes=1), dt.timedelta(days=1)
# After this many failed requests, the next sync still tries again at once.
_MAX_IMMEDIATE_RETRIES = 2
# Wait before the details of a task are fetched again after they could not be read.
_DETAIL_WAIT = dt.timedelta(days=1)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FetchedResult:
    """
    The API's answer for a result; `found` is None if there is no result or the request failed.

    `seconds` is the duration of the request.
    """

    due: DueResult
    found: ResultPayload | None = None
    is_failure: bool = False
    seconds: float = 0.0

    @property
    def has_result(self) -> bool:
        """Whether the answer has a result."""
        return self.found is not None and self.found.result is not None

    @property
    def size(self) -> int:
        """The size of the answer in bytes."""
        return self.found.task.size if self.found else 0


class ArchiveCounts(NamedTuple):
    """The number of archived results, and of subtitles in them with an unreadable time."""

    archived: int
    unreadable_times: int


def store_results(
    connection: sa.Connection, answers: Sequence[FetchedResult], now: dt.datetime
) -> ArchiveCounts:
    """Store the answers, and return what was archived. The caller owns the transaction."""
    parts = [_store_part(connection, part, now) for part in _iter_parts(answers)]
    return ArchiveCounts(sum(part.archived for part in parts), sum(part.unreadable_times for part in parts))


def _iter_parts(answers: Sequence[FetchedResult]) -> Iterator[Sequence[FetchedResult]]:
    """Yield parts of at least one answer, and of at most MAX_PART_BYTES if it has more."""
    part: list[FetchedResult] = []
    size = 0
    for answer in answers:
        if part and size + answer.size > MAX_PART_BYTES:
            yield part
            part, size = [], 0
        part.append(answer)
        size += answer.size
    yield part


def _store_part(
    connection: sa.Connection, answers: Sequence[FetchedResult], now: dt.datetime
) -> ArchiveCounts:
    answers = [_without_mismatch(answer) for answer in answers]
    task_ids = [answer.due.task_id for answer in answers]
    query = sa.select(RESULTS).where(is_any_of(connection, RESULTS.c.task_id, task_ids))
    stored = {row["task_id"]: row for row in connection.execute(query).mappings()}
    inserted, updated, archived = _rows_of(connection, answers, stored, now)
    _write(connection, inserted, updated)
    replaced = [payload.task.task_id for payload in archived if payload.task.task_id in stored]
    _write_items(connection, archived, replaced)
    index_transcripts(connection, [(each.task.task_id, _transcript(each)) for each in archived], replaced)
    # From now on `task_results.next_attempt_at` decides when the result is fetched again.
    is_answered = is_any_of(connection, TASKS.c.task_id, task_ids)
    connection.execute(sa.update(TASKS).where(is_answered, RESULT_DUE).values(is_result_due=False))
    _settle_details(connection, answers, now)
    subtitles = (subtitle for payload in archived for subtitle in payload.subtitles)
    unreadable = sum(None in (subtitle.start_seconds, subtitle.end_seconds) for subtitle in subtitles)
    return ArchiveCounts(len(archived), unreadable)


def _rows_of(
    connection: sa.Connection,
    answers: Sequence[FetchedResult],
    stored: Mapping[str, sa.RowMapping],
    now: dt.datetime,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[ResultPayload]]:
    """
    Return the rows to insert, the rows to update, and the archived payloads for the other tables.

    Results are JSON text from here on: decoded, a large result would take most of the memory of a sync.
    """
    inserted: list[dict[str, Any]] = []
    updated: list[dict[str, Any]] = []
    archived: list[ResultPayload] = []
    for packed in answers:
        answer = dataclasses.replace(packed, found=packed.found and packed.found.unpacked())
        known = stored.get(answer.due.task_id)
        if answer.due.is_early and not answer.has_result:
            continue
        if (
            known is not None
            and known["state"] == ResultState.ARCHIVED
            and not _is_fuller(answer.found, known)
        ):
            if not answer.due.is_detail_only:
                _update_attempts(connection, answer, known, now)
            continue
        if answer.due.is_detail_only and (known is None or not answer.has_result):
            continue
        row = _row(answer, known, now)
        (inserted if known is None else updated).append(row)
        if answer.found is not None and answer.has_result:
            row["result"] = encoder_for(connection).document(row["result"])
            archived.append(dataclasses.replace(answer.found, result=None))
    return inserted, updated, archived


def _settle_details(connection: sa.Connection, answers: Sequence[FetchedResult], now: dt.datetime) -> None:
    """Store what the tasks' details add, and schedule another attempt for those that could not be read."""
    add_details(connection, [answer.found.task for answer in answers if answer.found is not None], now)
    failed = [answer.due.task_id for answer in answers if answer.is_failure]
    settled = [answer.due.task_id for answer in answers if not answer.is_failure]
    for task_ids, due_at in ((settled, None), (failed, now + _DETAIL_WAIT)):
        is_due = sa.and_(DETAIL_DUE, is_any_of(connection, TASKS.c.task_id, task_ids))
        connection.execute(sa.update(TASKS).where(is_due).values(detail_due_at=due_at))


def _transcript(payload: ResultPayload) -> Transcript:
    if payload.subtitles:
        return [(position, subtitle.text or "") for position, subtitle in enumerate(payload.subtitles)]
    return [] if payload.text is None else [(None, payload.text)]


def _without_mismatch(answer: FetchedResult) -> FetchedResult:
    """Return the answer, without its payload if that is for another task than the requested one."""
    if answer.found is None or answer.found.task.task_id == answer.due.task_id:
        return answer
    return dataclasses.replace(answer, found=None)


def _is_fuller(found: ResultPayload | None, known: sa.RowMapping) -> bool:
    return found is not None and fullness(found.result) > fullness(known["result"])


def _row(answer: FetchedResult, known: sa.RowMapping | None, now: dt.datetime) -> dict[str, Any]:
    """Return the row for `task_results`."""
    row = {**dict.fromkeys(_COLUMNS), "task_id": answer.due.task_id, **_attempts(answer, known)}
    if answer.found is not None:
        row["kind"] = answer.found.kind
        if answer.found.result is not None:
            values = {name: getattr(answer.found, name) for name in _FROM_PAYLOAD}
            if not has_subtitles(values["vtt"]) and answer.found.subtitles:
                values["vtt"] = as_webvtt(answer.found.subtitles)
            return {**row, **values, "state": ResultState.ARCHIVED, "fetched_at": now}
    next_attempt_at = _next_attempt(answer, row, now)
    state = ResultState.EXPIRED if next_attempt_at is None else ResultState.UNAVAILABLE
    return {**row, "state": state, "next_attempt_at": next_attempt_at}


def _update_attempts(
    connection: sa.Connection, answer: FetchedResult, known: sa.RowMapping, now: dt.datetime
) -> None:
    """Keep the archived result, which is at least as full as the answer, and update the attempts."""
    counts = _attempts(answer, known)
    next_attempt_at = None if answer.has_result else _next_attempt(answer, counts, now)
    statement = sa.update(RESULTS).where(RESULTS.c.task_id == answer.due.task_id)
    connection.execute(statement.values(**counts, next_attempt_at=next_attempt_at))


def _attempts(answer: FetchedResult, known: sa.RowMapping | None) -> dict[str, int]:
    attempts, failures = 0, 0
    if known is not None and answer.due.is_retry:
        attempts, failures = known["attempts"], known["failures"]
    return {"attempts": attempts + 1, "failures": failures + answer.is_failure}


def _next_attempt(answer: FetchedResult, counts: Mapping[str, Any], now: dt.datetime) -> dt.datetime | None:
    """Return when to fetch an unavailable result again; None if the API must have deleted it."""
    if answer.due.is_expired(now) and not answer.is_failure:
        return None
    attempts, failures = counts["attempts"], counts["failures"]
    times = failures - _MAX_IMMEDIATE_RETRIES if answer.is_failure else attempts - failures
    if times <= 0:
        return now - CLOCK_RESOLUTION  # due at the next sync
    doubled: dt.timedelta = MIN_WAIT * 2 ** min(times - 1, 11)
    return now + min(MAX_WAIT, doubled)


def _write(connection: sa.Connection, inserted: list[dict[str, Any]], updated: list[dict[str, Any]]) -> None:
    encoder = encoder_for(connection)
    encode = {"languages": encoder.document}
    encode |= dict.fromkeys(("fetched_at", "next_attempt_at"), encoder.instant)

    def encoded(row: dict[str, Any]) -> Row:
        values = ((name, row[name]) for name in _COLUMNS)
        return tuple(
            encode[name](value) if value is not None and name in encode else value for name, value in values
        )

    insert_rows(connection, RESULTS, _COLUMNS, list(map(encoded, inserted)))
    update_rows(connection, RESULTS, _COLUMNS, list(map(encoded, updated)))


def _write_items(
    connection: sa.Connection, archived: Collection[ResultPayload], replaced: Collection[str]
) -> None:
    """Write the subtitles and detections of results, replacing those stored before."""
    for table, attribute in ((SUBTITLES, "subtitles"), (DETECTIONS, "detections")):
        if replaced:
            connection.execute(sa.delete(table).where(is_any_of(connection, table.c.task_id, replaced)))
        names = tuple(column.name for column in table.columns)
        values = operator.attrgetter(*names[2:])
        rows = (
            (payload.task.task_id, position, *values(item))
            for payload in archived
            for position, item in enumerate(getattr(payload, attribute))
        )
        insert_rows(connection, table, names, rows)
