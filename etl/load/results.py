"""Archive results: never over a fuller one, and each with the rows of subtitles and detections it holds."""

from __future__ import annotations

import dataclasses
import datetime as dt
import operator
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from etl.extract.result import fullness
from etl.load.bulk import encoder_for, insert_rows, update_rows
from etl.load.captions import as_webvtt
from etl.load.dialect import among
from etl.load.transcripts import index_transcripts
from etl.models import DETECTIONS, RESULT_DUE, RESULTS, SUBTITLES, TASKS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from etl.extract.result import ResultPayload
    from etl.load.bulk import Row
    from etl.load.transcripts import Lines

_COLUMNS = tuple(column.name for column in RESULTS.columns)
_FROM_PAYLOAD = ("kind", "result", "detected", "speech_detected", "languages", "text", "vtt", "error")

# The API keeps a result for a month, and nobody says how long that is.
KEPT_AT_LEAST, KEPT_FOR = dt.timedelta(days=30), dt.timedelta(days=31)
FIRST_WAIT, LONGEST_WAIT = dt.timedelta(hours=1), dt.timedelta(days=1)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DueResult:
    """A finished task whose result is not stored; `finished_at` is when, or the latest it can have been."""

    task_id: str
    finished_at: dt.datetime

    def is_past(self, now: dt.datetime) -> bool:
        """Tell whether the API must have deleted the result by now."""
        return now - self.finished_at > KEPT_FOR


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the API said of a result: `found` is None if there is none, or if it failed to tell."""

    due: DueResult
    found: ResultPayload | None = None
    is_failure: bool = False

    @property
    def size(self) -> int:
        """How many bytes it was sent in."""
        return self.found.task.size if self.found else 0


class Stored(NamedTuple):
    """How many results are new, and how many of their lines have a time that makes no sense."""

    archived: int
    unreadable_times: int


def due_results(connection: sa.Connection, now: dt.datetime, limit: int) -> list[DueResult]:
    """
    Give the results to ask for, the nearest to their deletion first, those past it last.

    Each query stops at the limit, in the order of an index: of a million only the head is looked at.
    """
    completed_at, past = TASKS.c.completed_at, now - KEPT_FOR
    never_asked = _waiting().where(RESULT_DUE).order_by(completed_at)
    again = _waiting().join(RESULTS, RESULTS.c.task_id == TASKS.c.task_id)
    again = again.where(RESULTS.c.state == "unavailable", RESULTS.c.next_attempt_at <= now)
    queries = (
        never_asked.where(completed_at >= past),
        # The older shape of lists has no times: their order is that in which they came.
        never_asked.where(completed_at.is_(None)),
        again.order_by(RESULTS.c.next_attempt_at),
        never_asked.where(completed_at < past),
    )
    found = {
        task_id: finished_at
        for query in queries
        for task_id, finished_at in connection.execute(query.limit(limit))
    }
    due = [DueResult(task_id=task_id, finished_at=finished_at) for task_id, finished_at in found.items()]
    due.sort(key=lambda each: (each.is_past(now), each.finished_at, each.task_id))
    return due[:limit]


def _waiting() -> sa.Select[Any]:
    columns = (TASKS.c.completed_at, TASKS.c.first_seen_at)
    return sa.select(TASKS.c.task_id, sa.func.coalesce(*columns, type_=columns[0].type))


def store_results(connection: sa.Connection, answers: Sequence[Answer], now: dt.datetime) -> Stored:
    """Store what was answered, and give what is new; the caller owns the transaction."""
    answers = [_checked(answer) for answer in answers]
    task_ids = [answer.due.task_id for answer in answers]
    query = sa.select(RESULTS).where(among(connection, RESULTS.c.task_id, task_ids))
    stored = {row["task_id"]: row for row in connection.execute(query).mappings()}
    new: list[dict[str, Any]] = []
    again: list[dict[str, Any]] = []
    archived: list[ResultPayload] = []
    for answer in answers:
        known = stored.get(answer.due.task_id)
        if known is not None and known["state"] == "archived" and not _is_fuller(answer.found, known):
            continue
        row = _row(answer, known, now)
        (new if known is None else again).append(row)
        if row["state"] == "archived" and answer.found is not None:
            archived.append(answer.found)
    _write(connection, new, again)
    replaced = [row["task_id"] for row in again]
    _write_parts(connection, archived, replaced)
    index_transcripts(connection, [(each.task.task_id, _lines(each)) for each in archived], replaced)
    # Asked for once, it is up to `task_results` when to ask again.
    is_answered = among(connection, TASKS.c.task_id, task_ids)
    connection.execute(sa.update(TASKS).where(is_answered).values(is_result_due=False))
    cues = (cue for payload in archived for cue in payload.subtitles)
    return Stored(len(archived), sum(None in (cue.start_seconds, cue.end_seconds) for cue in cues))


def _lines(payload: ResultPayload) -> Lines:
    if payload.subtitles:
        return [(position, cue.text or "") for position, cue in enumerate(payload.subtitles)]
    return [] if payload.text is None else [(None, payload.text)]


def _checked(answer: Answer) -> Answer:
    """Take the result of another task than the one asked for as no answer at all."""
    if answer.found is None or answer.found.task.task_id == answer.due.task_id:
        return answer
    return dataclasses.replace(answer, found=None, is_failure=True)


def _is_fuller(found: ResultPayload | None, known: sa.RowMapping) -> bool:
    return found is not None and fullness(found.result) > fullness(known["result"])


def _row(answer: Answer, known: sa.RowMapping | None, now: dt.datetime) -> dict[str, Any]:
    attempts = (known["attempts"] if known else 0) + 1
    failures = (known["failures"] if known else 0) + answer.is_failure
    row = {**dict.fromkeys(_COLUMNS), "task_id": answer.due.task_id}
    row |= {"attempts": attempts, "failures": failures}
    if answer.found is not None:
        row["kind"] = answer.found.kind
        if answer.found.result is not None:
            values = {name: getattr(answer.found, name) for name in _FROM_PAYLOAD}
            if values["vtt"] is None and answer.found.subtitles:
                values["vtt"] = as_webvtt(answer.found.subtitles)
            return {**row, **values, "state": "archived", "fetched_at": now}
    if answer.due.is_past(now) and not answer.is_failure:
        return {**row, "state": "expired"}
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(attempts - 1, 10))
    return {**row, "state": "unavailable", "next_attempt_at": now + wait}


def _write(connection: sa.Connection, new: list[dict[str, Any]], again: list[dict[str, Any]]) -> None:
    encoder = encoder_for(connection)
    encode = dict.fromkeys(("result", "languages"), encoder.document)
    encode |= dict.fromkeys(("fetched_at", "next_attempt_at"), encoder.instant)

    def encoded(row: dict[str, Any]) -> Row:
        values = ((name, row[name]) for name in _COLUMNS)
        return tuple(
            encode[name](value) if value is not None and name in encode else value for name, value in values
        )

    insert_rows(connection, RESULTS, _COLUMNS, list(map(encoded, new)))
    update_rows(connection, RESULTS, _COLUMNS, list(map(encoded, again)))


def _write_parts(
    connection: sa.Connection, archived: Collection[ResultPayload], replaced: Collection[str]
) -> None:
    """Write the rows that results hold; those of results that were stored before go first."""
    for table, part in ((SUBTITLES, "subtitles"), (DETECTIONS, "detections")):
        if replaced:
            connection.execute(sa.delete(table).where(among(connection, table.c.task_id, replaced)))
        names = tuple(column.name for column in table.columns)
        values = operator.attrgetter(*names[2:])
        rows = [
            (payload.task.task_id, position, *values(item))
            for payload in archived
            for position, item in enumerate(getattr(payload, part))
        ]
        insert_rows(connection, table, names, rows)
