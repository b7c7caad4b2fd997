"""Archive results: never over a fuller one, and each with the rows of subtitles and detections it holds."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from etl.extract.result import fullness
from etl.load.dialect import among, insert
from etl.models import RESULT_DUE, Base

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from etl.extract.result import ResultPayload

RESULTS = Base.metadata.tables["task_results"]
SUBTITLES = Base.metadata.tables["subtitles"]
DETECTIONS = Base.metadata.tables["detections"]
_TASKS = Base.metadata.tables["tasks"]
_COLUMNS = [column.name for column in RESULTS.columns]
_FROM_PAYLOAD = ("kind", "result", "detected", "speech_detected", "languages", "text", "vtt", "error")

# The API keeps a result for a month, and nobody says how long that is.
KEPT_FOR = dt.timedelta(days=31)
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


def due_results(connection: sa.Connection, now: dt.datetime, limit: int) -> list[DueResult]:
    """Give the results to ask for, the nearest to their deletion first, those past it last."""
    finished = sa.func.coalesce(
        _TASKS.c.completed_at, _TASKS.c.first_seen_at, type_=_TASKS.c.first_seen_at.type
    )
    never_asked = sa.select(_TASKS.c.task_id, finished.label("finished_at")).where(RESULT_DUE)
    ask_again = (
        sa.select(_TASKS.c.task_id, finished.label("finished_at"))
        .join(RESULTS, RESULTS.c.task_id == _TASKS.c.task_id)
        .where(RESULTS.c.state == "unavailable", RESULTS.c.next_attempt_at <= now)
    )
    waiting = never_asked.union(ask_again).subquery()
    is_past = waiting.c.finished_at < now - KEPT_FOR
    query = sa.select(waiting).order_by(is_past, waiting.c.finished_at, waiting.c.task_id).limit(limit)
    return [
        DueResult(task_id=task_id, finished_at=finished_at)
        for task_id, finished_at in connection.execute(query)
    ]


def store_results(connection: sa.Connection, answers: Sequence[Answer], now: dt.datetime) -> int:
    """Store what was answered and give how many results are new; the caller owns the transaction."""
    answers = [_checked(answer) for answer in answers]
    task_ids = [answer.due.task_id for answer in answers]
    query = sa.select(RESULTS).where(among(connection, RESULTS.c.task_id, task_ids))
    stored = {row["task_id"]: row for row in connection.execute(query).mappings()}
    rows: list[dict[str, Any]] = []
    archived: list[ResultPayload] = []
    for answer in answers:
        known = stored.get(answer.due.task_id)
        if known is not None and known["state"] == "archived" and not _is_fuller(answer.found, known):
            continue
        rows.append(_row(answer, known, now))
        if rows[-1]["state"] == "archived" and answer.found is not None:
            archived.append(answer.found)
    _write(connection, rows, archived)
    # Asked for once, it is up to `task_results` when to ask again.
    is_answered = among(connection, _TASKS.c.task_id, task_ids)
    connection.execute(sa.update(_TASKS).where(is_answered).values(is_result_due=False))
    return len(archived)


def _checked(answer: Answer) -> Answer:
    """Take the result of another task than the one asked for as no answer at all."""
    if answer.found is None or answer.found.task.task_id == answer.due.task_id:
        return answer
    return dataclasses.replace(answer, found=None, is_failure=True)


def _is_fuller(found: ResultPayload | None, known: sa.RowMapping) -> bool:
    return found is not None and fullness(found.result) > fullness(known["result"])


def _row(answer: Answer, known: sa.RowMapping | None, now: dt.datetime) -> dict[str, Any]:
    attempts = (known["attempts"] if known else 0) + 1
    row = {**dict.fromkeys(_COLUMNS), "task_id": answer.due.task_id, "attempts": attempts}
    if answer.found is not None:
        row["kind"] = answer.found.kind
        if answer.found.result is not None:
            values = {name: getattr(answer.found, name) for name in _FROM_PAYLOAD}
            return {**row, **values, "state": "archived", "fetched_at": now}
    if answer.due.is_past(now) and not answer.is_failure:
        return {**row, "state": "expired"}
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(attempts - 1, 10))
    return {**row, "state": "unavailable", "next_attempt_at": now + wait}


def _write(
    connection: sa.Connection, rows: list[dict[str, Any]], archived: Collection[ResultPayload]
) -> None:
    if rows:
        statement = insert(connection, RESULTS)
        changes = {name: statement.excluded[name] for name in _COLUMNS if name != "task_id"}
        connection.execute(statement.on_conflict_do_update(index_elements=["task_id"], set_=changes), rows)
    task_ids = [payload.task.task_id for payload in archived]
    for table, part in ((SUBTITLES, "subtitles"), (DETECTIONS, "detections")):
        connection.execute(sa.delete(table).where(among(connection, table.c.task_id, task_ids)))
        parts = [
            {"task_id": payload.task.task_id, "position": position, **dataclasses.asdict(item)}
            for payload in archived
            for position, item in enumerate(getattr(payload, part))
        ]
        if parts:
            connection.execute(sa.insert(table), parts)
