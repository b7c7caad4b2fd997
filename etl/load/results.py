"""Archives results with their subtitles and detections; a result is never replaced by an emptier one."""

from __future__ import annotations

import dataclasses
import datetime as dt
import operator
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from etl.extract.result import fullness
from etl.load.bulk import insert_rows, update_rows
from etl.load.details import add_details
from etl.load.dialect import is_any_of
from etl.load.subtitle_formats import as_webvtt, has_subtitles
from etl.load.task_rows import CLOCK_RESOLUTION
from etl.load.transcript_index import index_transcripts
from etl.models import DETAIL_DUE, DETECTIONS, RESULT_DUE, RESULTS, SUBTITLES, TASKS, ResultState
from etl.models.base import as_json

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from etl.extract.result import ResultPayload
    from etl.load.due_results import DueResult
    from etl.load.transcript_index import Transcript

_COLUMNS = tuple(column.name for column in RESULTS.columns)
# Responses are converted to rows in parts of this size, because rows take many times the memory of a
# response.
MAX_PART_BYTES = 4 * 1024 * 1024
_FROM_PAYLOAD = ("kind", "result", "detected", "speech_detected", "languages", "text", "vtt", "error")

# Wait before the next attempt for a result that is not available yet; it doubles with each attempt.
MIN_WAIT, MAX_WAIT = dt.timedelta(minutes=1), dt.timedelta(days=1)
# Up to this many failed requests, the next sync retries at once.
_MAX_IMMEDIATE_RETRIES = 2
# Wait before a task is requested by id again after a failure.
_DETAIL_WAIT = dt.timedelta(days=1)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FetchedResult:
    """
    The API's response for a result; `found` is None if there is no result or the request failed.

    `seconds` is the duration of the request.
    """

    due: DueResult
    found: ResultPayload | None = None
    is_failure: bool = False
    seconds: float = 0.0

    @property
    def has_result(self) -> bool:
        """Whether the response has a result. A packed one must be unpacked first."""
        return self.found is not None and self.found.result is not None

    @property
    def size(self) -> int:
        """The size of the response in bytes."""
        return self.found.task.size if self.found else 0


class ArchiveCounts(NamedTuple):
    """The number of archived results, and of subtitles in them with an unreadable time."""

    archived: int
    unreadable_times: int


def store_results(
    connection: sa.Connection, responses: Sequence[FetchedResult], now: dt.datetime
) -> ArchiveCounts:
    """Store the responses, and return what was archived. The caller owns the transaction."""
    parts = [_store_part(connection, part, now) for part in _iter_parts(responses)]
    return ArchiveCounts(sum(part.archived for part in parts), sum(part.unreadable_times for part in parts))


def _iter_parts(responses: Sequence[FetchedResult]) -> Iterator[Sequence[FetchedResult]]:
    """Yield parts of at most MAX_PART_BYTES, except that a single response may be larger."""
    part: list[FetchedResult] = []
    size = 0
    for response in responses:
        if part and size + response.size > MAX_PART_BYTES:
            yield part
            part, size = [], 0
        part.append(response)
        size += response.size
    yield part


def _store_part(
    connection: sa.Connection, responses: Sequence[FetchedResult], now: dt.datetime
) -> ArchiveCounts:
    responses = [_without_mismatch(response) for response in responses]
    task_ids = [response.due.task_id for response in responses]
    query = sa.select(RESULTS).where(is_any_of(connection, RESULTS.c.task_id, task_ids))
    stored = {row["task_id"]: row for row in connection.execute(query).mappings()}
    inserted, updated, archived = _rows_of(connection, responses, stored, now)
    _write(connection, inserted, updated)
    replaced = [payload.task.task_id for payload in archived if payload.task.task_id in stored]
    _write_items(connection, archived, replaced)
    index_transcripts(connection, [(each.task.task_id, _transcript(each)) for each in archived], replaced)
    # From now on, `task_results.next_attempt_at` determines when the result is fetched again.
    is_requested = is_any_of(connection, TASKS.c.task_id, task_ids)
    connection.execute(sa.update(TASKS).where(is_requested, RESULT_DUE).values(is_result_due=False))
    _settle_details(connection, responses, now)
    subtitles = (subtitle for payload in archived for subtitle in payload.subtitles)
    unreadable = sum(None in (subtitle.start_seconds, subtitle.end_seconds) for subtitle in subtitles)
    return ArchiveCounts(len(archived), unreadable)


def _rows_of(
    connection: sa.Connection,
    responses: Sequence[FetchedResult],
    stored: Mapping[str, sa.RowMapping],
    now: dt.datetime,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[ResultPayload]]:
    """
    Return the rows to insert, the rows to update, and the archived payloads for the other tables.

    From here on, results are JSON text: a large decoded result would take most of the memory of a sync.
    """
    inserted: list[dict[str, Any]] = []
    updated: list[dict[str, Any]] = []
    archived: list[ResultPayload] = []
    for packed in responses:
        response = dataclasses.replace(packed, found=packed.found and packed.found.unpacked())
        known = stored.get(response.due.task_id)
        if response.due.is_early and not response.has_result:
            continue
        if (
            known is not None
            and known["state"] == ResultState.ARCHIVED
            and not _is_fuller(response.found, known)
        ):
            if not response.due.is_detail_only:
                _update_attempts(connection, response, known, now)
            continue
        if response.due.is_detail_only and (known is None or not response.has_result):
            continue
        row = _row(response, known, now)
        (inserted if known is None else updated).append(row)
        if response.found is not None and response.has_result:
            row["result"] = as_json(row["result"])
            archived.append(dataclasses.replace(response.found, result=None))
    return inserted, updated, archived


def _settle_details(connection: sa.Connection, responses: Sequence[FetchedResult], now: dt.datetime) -> None:
    """Store what only the detail endpoint returns, and schedule another attempt for failed requests."""
    add_details(
        connection, [response.found.task for response in responses if response.found is not None], now
    )
    failed = [response.due.task_id for response in responses if response.is_failure]
    settled = [response.due.task_id for response in responses if not response.is_failure]
    for task_ids, due_at in ((settled, None), (failed, now + _DETAIL_WAIT)):
        is_due = sa.and_(DETAIL_DUE, is_any_of(connection, TASKS.c.task_id, task_ids))
        connection.execute(sa.update(TASKS).where(is_due).values(detail_due_at=due_at))


def _transcript(payload: ResultPayload) -> Transcript:
    if payload.subtitles:
        return [(position, subtitle.text or "") for position, subtitle in enumerate(payload.subtitles)]
    return [] if payload.text is None else [(None, payload.text)]


def _without_mismatch(response: FetchedResult) -> FetchedResult:
    """Return the response, without its payload if that belongs to a task other than the requested one."""
    if response.found is None or response.found.task.task_id == response.due.task_id:
        return response
    return dataclasses.replace(response, found=None)


def _is_fuller(found: ResultPayload | None, known: sa.RowMapping) -> bool:
    return found is not None and fullness(found.result) > fullness(known["result"])


def _row(response: FetchedResult, known: sa.RowMapping | None, now: dt.datetime) -> dict[str, Any]:
    """Return the row for `task_results`."""
    row = {**dict.fromkeys(_COLUMNS), "task_id": response.due.task_id, **_attempts(response, known)}
    if response.found is not None:
        row["kind"] = response.found.kind
        if response.found.result is not None:
            values = {name: getattr(response.found, name) for name in _FROM_PAYLOAD}
            if not has_subtitles(values["vtt"]) and response.found.subtitles:
                values["vtt"] = as_webvtt(response.found.subtitles)
            return {**row, **values, "state": ResultState.ARCHIVED, "fetched_at": now}
    next_attempt_at = _next_attempt(response, row, now)
    state = ResultState.EXPIRED if next_attempt_at is None else ResultState.UNAVAILABLE
    return {**row, "state": state, "next_attempt_at": next_attempt_at}


def _update_attempts(
    connection: sa.Connection, response: FetchedResult, known: sa.RowMapping, now: dt.datetime
) -> None:
    """Keep the archived result, which is at least as full as the response, and update the attempts."""
    counts = _attempts(response, known)
    next_attempt_at = None if response.has_result else _next_attempt(response, counts, now)
    statement = sa.update(RESULTS).where(RESULTS.c.task_id == response.due.task_id)
    connection.execute(statement.values(**counts, next_attempt_at=next_attempt_at))


def _attempts(response: FetchedResult, known: sa.RowMapping | None) -> dict[str, int]:
    attempts, failures = 0, 0
    if known is not None and response.due.is_retry:
        attempts, failures = known["attempts"], known["failures"]
    return {"attempts": attempts + 1, "failures": failures + response.is_failure}


def _next_attempt(response: FetchedResult, counts: Mapping[str, Any], now: dt.datetime) -> dt.datetime | None:
    """Return when to fetch an unavailable result again; None if it must have expired."""
    attempts, failures = counts["attempts"], counts["failures"]
    if not response.is_failure and _due_by_response(response).is_expired(now, attempts):
        return None
    times = failures - _MAX_IMMEDIATE_RETRIES if response.is_failure else attempts - failures
    if times <= 0:
        return now - CLOCK_RESOLUTION  # due at the next sync
    doubled: dt.timedelta = MIN_WAIT * 2 ** min(times - 1, 11)
    return now + min(MAX_WAIT, doubled)


def _due_by_response(response: FetchedResult) -> DueResult:
    """Return the due result, with the time at which its task finished if only the response tells it."""
    completed_at = None if response.found is None else response.found.task.completed_at
    if completed_at is None or not response.due.is_estimated:
        return response.due
    return dataclasses.replace(response.due, finished_at=completed_at, is_estimated=False)


def _write(connection: sa.Connection, inserted: list[dict[str, Any]], updated: list[dict[str, Any]]) -> None:
    to_row = operator.itemgetter(*_COLUMNS)
    insert_rows(connection, RESULTS, _COLUMNS, map(to_row, inserted))
    update_rows(connection, RESULTS, _COLUMNS, list(map(to_row, updated)))


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
