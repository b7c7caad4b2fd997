"""
A copy after a year of syncs: tasks, history, results and runs, inserted directly into the tables.

Tasks wait, run in stages, return to the queue, are retried, fail, are revoked, hang for weeks, are removed
and reappear; a sync sees their state at its own time. The rows are reproducible for the same sizes and
seed.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import hashlib
import itertools
import math
import random
from typing import TYPE_CHECKING, NamedTuple

from etl.database import ensure_schema, open_engine
from etl.load.bulk import insert_rows
from etl.models import METADATA

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

    from etl.load.bulk import Row

NOW = dt.datetime(2026, 6, 26, 12, tzinfo=dt.UTC)
STEP = dt.timedelta(minutes=5)
# Syncs per batch: one day.
_BATCH = 288
_RETENTION = dt.timedelta(days=30)
_KINDS = (
    ("transcription", None, 0.56),
    ("content-moderation", "nsfw", 0.12),
    ("content-moderation", "soft_nudity", 0.10),
    ("content-moderation", "hard_nudity", 0.10),
    ("content-moderation", "sport", 0.11),
    (None, None, 0.01),
)
_LANGUAGES = ("eng", "ger", "fra", "spa", "por", "ita", "pol", "ukr", "jpn", "kor", None)
_SPOKEN = [language for language in _LANGUAGES if language]
_ERRORS = (
    "No audio stream: {}.mp4",
    "Download failed: HTTP 404 for {}.mp4",
    "Video is too long: {} s",
    "Timeout",
)
_LABELS = ("FACE_FEMALE", "FACE_MALE", "BELLY_EXPOSED", "ARMPITS_EXPOSED", "soccer", "tennis")
_LINE = "so that is what we are going to look at in the next few minutes"
_TABLES = {
    "tasks": (
        "task_id task_name status progress url category audio_language client_id client_user_id"
        " client_entity_data task_data started_at completed_at total_time_sec created_after created_before"
        " payload_hash first_seen_at changed_at removed_at is_result_due"
    ),
    "task_history": "task_id run_id observed_at event status progress previous_status previous_progress",
    "task_results": (
        "task_id state kind result detected speech_detected languages text error fetched_at attempts"
        " next_attempt_at"
    ),
    "subtitles": "task_id position start_seconds end_seconds text",
    "detections": "task_id position frame_number label confidence",
    "sync_runs": (
        "run_id started_at finished_at mode status requests pages tasks_seen watermark_before watermark_after"
        " version"
    ),
}
_COLUMNS = {table: tuple(names.split()) for table, names in _TABLES.items()}


class _Seen(NamedTuple):
    """A change of a task as seen by a sync."""

    task_id: str
    event: str
    status: str
    progress: int | None
    previous_status: str | None
    previous_progress: int | None


@dataclasses.dataclass(slots=True, kw_only=True)
class _Lifecycle:
    """The changes, start and end of a task, in seconds from its creation."""

    changes: list[tuple[float, str, int | None]]
    started: float | None
    ended: float | None


def fill_year(database: str, *, tasks: int, runs: int, now: dt.datetime = NOW, seed: int = 1) -> None:
    """Store `tasks` tasks and `runs` syncs, five minutes apart, the last at `now`, in an empty database."""
    engine = open_engine(database)
    with engine.begin() as connection:
        ensure_schema(connection)
    year = _Year(tasks, runs, now, random.Random(seed))  # noqa: S311 - tasks, not secrets
    for start in range(1, runs + 1, _BATCH):
        with engine.begin() as connection:
            year.store(connection, range(start, min(start + _BATCH, runs + 1)))
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE sync_state SET watermark = (SELECT max(watermark_after) FROM sync_runs), present_tasks ="
            " (SELECT count(*) FROM tasks WHERE removed_at IS NULL)"
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("VACUUM ANALYZE")
    engine.dispose()


class _Year:
    """Generates the tasks, and the changes that each sync sees."""

    def __init__(self, tasks: int, runs: int, now: dt.datetime, chance: random.Random) -> None:
        self._tasks, self._runs, self._now, self._chance = tasks, runs, now, chance
        self._begin = now - runs * STEP
        self._number = itertools.count()
        self._due: dict[int, list[_Seen]] = collections.defaultdict(list)
        self._rows: dict[str, list[Row]] = {}

    def store(self, connection: sa.Connection, runs: range) -> None:
        """Insert the changes that these syncs see, and the tasks that are created between them."""
        self._rows = {table: [] for table in _COLUMNS}
        for run in runs:
            self._add_run(run)
            for _ in range(self._tasks * run // self._runs - self._tasks * (run - 1) // self._runs):
                self._add_task(run)
            for seen in self._due.pop(run, ()):
                self._add("task_history", run_id=run, observed_at=self._at(run), **seen._asdict())
        for table, rows in self._rows.items():
            insert_rows(connection, METADATA.tables[table], _COLUMNS[table], rows)

    def _add(self, table: str, **columns: object) -> None:
        self._rows[table].append(tuple(map(columns.get, _COLUMNS[table])))

    def _at(self, run: int) -> dt.datetime:
        return self._begin + run * STEP

    def _add_run(self, run: int) -> None:
        at, is_failed = self._at(run), self._chance.random() < 0.002
        self._add(
            "sync_runs",
            run_id=run,
            started_at=at,
            finished_at=at + dt.timedelta(seconds=self._chance.uniform(0.5, 5)),
            mode="full" if run % 2016 == 1 else "incremental",
            status="failed" if is_failed else "succeeded",
            requests=5,
            pages=2,
            tasks_seen=30,
            watermark_before=at - STEP,
            watermark_after=None if is_failed else at,
            version="0.9.0",
        )

    def _add_task(self, run: int) -> None:
        chance, number = self._chance, next(self._number)
        task_id = hashlib.md5(b"%d" % number, usedforsecurity=False).hexdigest()
        created = self._at(run) - chance.random() * STEP
        lifecycle = plan_lifecycle(chance)
        seen = list(self._observe(task_id, created, lifecycle))
        for at, each in seen:
            self._due[at].append(each)
        last_run, last = seen[-1]
        ((name, category),) = chance.choices([each[:2] for each in _KINDS], [each[2] for each in _KINDS])
        started, ended = (
            None if seconds is None or moment > self._now else moment
            for seconds in (lifecycle.started, lifecycle.ended)
            for moment in [created + dt.timedelta(seconds=seconds or 0)]
        )
        if last.status not in {"SUCCESS", "FAILURE", "REVOKED"}:
            ended = None
        has_result = last.status in {"SUCCESS", "FAILURE"}
        is_due = has_result and chance.random() < (0.5 if last_run > self._runs - 20 else 0.0001)
        url = f"https://cdn{number % 211}.example.com/videos/{number}.mp4"
        self._add(
            "tasks",
            task_id=task_id,
            task_name=name,
            status=last.status,
            progress=last.progress,
            url=url,
            category=category,
            audio_language=chance.choice(_LANGUAGES) if name == "transcription" else None,
            client_id=2675,
            client_user_id=f"user-{int(chance.paretovariate(1.2)) % 1000}" if number % 7 else None,
            client_entity_data=f"video {number}",
            task_data={"task_name": name, "url": url, "client_id": 2675, "category": category},
            started_at=started,
            completed_at=ended,
            total_time_sec=(ended - started).total_seconds() if ended and started else None,
            created_after=self._at(run - 1),
            created_before=self._at(run),
            payload_hash=bytes.fromhex(task_id),
            first_seen_at=self._at(run),
            changed_at=self._at(last_run),
            removed_at=self._at(last_run) if last.event == "removed" else None,
            is_result_due=is_due,
        )
        if has_result and not is_due and ended is not None:
            self._add_result(task_id, name, category, last.status, ended)

    def _observe(
        self, task_id: str, created: dt.datetime, lifecycle: _Lifecycle
    ) -> Iterator[tuple[int, _Seen]]:
        """Yield the number of each sync that sees a change, and the last change before it."""
        at_run: dict[int, tuple[str, int | None]] = {}
        for seconds, status, progress in lifecycle.changes:
            run = max(1, math.ceil((created + dt.timedelta(seconds=seconds) - self._begin) / STEP))
            if run <= self._runs:
                at_run[run] = (status, progress)
        before: tuple[str | None, int | None] = (None, None)
        for run, state in at_run.items():
            yield run, _Seen(task_id, "changed" if before[0] else "discovered", *state, *before)
            before = state
        if self._chance.random() < 0.03:
            removed = run + self._chance.randrange(1, self._runs // 9)
            back = removed + self._chance.randrange(1, self._runs // 35)
            if removed <= self._runs:
                yield removed, _Seen(task_id, "removed", *state, *state)
                if self._chance.random() < 0.3 and back <= self._runs:
                    yield back, _Seen(task_id, "reappeared", *state, *state)

    def _add_result(
        self, task_id: str, name: str | None, category: str | None, status: str, ended: dt.datetime
    ) -> None:
        chance = self._chance
        result: dict[str, object] = {"task_id": task_id, "fetched_at": ended + STEP, "attempts": 1}
        if chance.random() < 0.02:
            is_lost = self._now - ended > _RETENTION
            result["state"] = "expired" if is_lost else "unavailable"
            result["next_attempt_at"] = None if is_lost else self._now
            self._add("task_results", **result)
            return
        result["state"] = "archived"
        found: dict[str, object]
        if status == "FAILURE":
            error = chance.choice(_ERRORS).format(chance.randrange(10**6))
            result |= {"kind": "failure", "error": error}
            found = {"error": error}
        elif name == "transcription":
            lines = [f"{_LINE} {place}" for place in range(chance.randrange(17))]
            for place, line in enumerate(lines):
                columns = {"start_seconds": 3.0 * place, "end_seconds": 3.0 * place + 2.5, "text": line}
                self._add("subtitles", task_id=task_id, position=place, **columns)
            result |= {"kind": name, "speech_detected": bool(lines), "text": " ".join(lines)}
            result["languages"] = [chance.choice(_SPOKEN)] if lines else []
            found = {"speech_detected": bool(lines), "concatenated_text": result["text"]}
        else:
            frames = chance.randrange(12) if chance.random() < 0.3 else 0
            for place in range(frames):
                columns = {"frame_number": 25 * place, "confidence": round(chance.uniform(0.3, 1), 3)}
                self._add(
                    "detections", task_id=task_id, position=place, label=chance.choice(_LABELS), **columns
                )
            result |= {"kind": category or "nsfw", "detected": frames > 0}
            found = {"nsfw_detected": frames > 0, "detection_results": []}
        self._add("task_results", **result, result=found)


def plan_lifecycle(chance: random.Random) -> _Lifecycle:
    """Return a random lifecycle; most tasks wait a few minutes, run a few more, and succeed."""
    moment = 0.0
    changes: list[tuple[float, str, int | None]] = [(moment, "PENDING", 0)]
    moment += chance.expovariate(1 / 300)
    roll = chance.random()
    if roll < 0.02:
        # Revoked before it started; only some of these have a completion time.
        changes.append((moment, "REVOKED", 0))
        return _Lifecycle(changes=changes, started=None, ended=moment if roll < 0.01 else None)
    started = moment
    changes.append((moment, "STARTED", 0))
    for _ in range(chance.choices((0, 1, 2, 3), (0.05, 0.25, 0.35, 0.35))[0]):
        moment += chance.expovariate(1 / 600)
        status = chance.choices(("STARTED", "PENDING", "RETRY"), (0.85, 0.12, 0.03))[0]
        changes.append((moment, status, chance.randrange(1, 100)))
    if roll > 0.9995:
        return _Lifecycle(changes=changes, started=started, ended=None)  # it hangs
    moment += chance.expovariate(1 / 400)
    end = chance.choices(("SUCCESS", "FAILURE", "REVOKED"), (0.90, 0.08, 0.02))[0]
    changes.append((moment, end, 100 if end == "SUCCESS" else changes[-1][2]))
    return _Lifecycle(changes=changes, started=started, ended=moment)
