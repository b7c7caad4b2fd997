"""One task: its present state, which changes may befall it, and what its clock readings look like."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from etl.emulator.content import Json, make_error, make_result, make_task_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from etl.emulator.lifecycle import Step

FINAL = frozenset({"SUCCESS", "FAILURE", "REVOKED"})
STATUSES = FINAL | {"RECEIVED", "PENDING", "STARTED", "RETRY"}

# A life begins as RECEIVED and ends where nothing follows.
FOLLOWS: dict[str, frozenset[str]] = {
    "RECEIVED": frozenset({"PENDING", "STARTED", "REVOKED"}),
    "PENDING": frozenset({"STARTED", "REVOKED"}),
    "STARTED": frozenset({"STARTED", "PENDING", "RETRY", "SUCCESS", "FAILURE", "REVOKED"}),
    "RETRY": frozenset({"STARTED", "PENDING", "REVOKED"}),
    **dict.fromkeys(FINAL, frozenset()),
}

_MICROSECOND = dt.timedelta(microseconds=1)
RESULT_KEPT_FOR = dt.timedelta(days=30)

# The service writes times in three ways. A task has one of them, and these are their grains in microseconds.
_GRAINS = (10_000, 1_000_000, 1_000)
_WHOLE_SECONDS, _MILLISECONDS = 1, 2


class IllegalMove(ValueError):
    """No task ever went this way."""

    def __init__(self, task_id: str, status: str, wanted: str) -> None:
        super().__init__(f"task {task_id} is {status} and cannot become {wanted}")


@dataclass(slots=True, eq=False)
class Task:
    """The truth about one task. Change it through its world, which keeps the indexes."""

    task_id: str
    kind: str
    seed: int
    client_id: int
    created_at: dt.datetime
    status: str = "RECEIVED"
    progress: int | None = 0
    started_at: dt.datetime | None = None
    completed_at: dt.datetime | None = None
    life: Iterator[Step] | None = field(default=None, repr=False)
    """The steps it will take by itself, unless somebody takes it by the hand."""
    result_deleted: bool = False
    raw: bytes | None = None
    """A record to serve verbatim in place of the true one."""
    own_data: Json | None = None
    own_result: Json | None = None
    wire: bytes | None = field(default=None, repr=False)
    """The record as last rendered; every change clears it."""
    haystack: str | None = field(default=None, repr=False)

    @property
    def task_data(self) -> Json:
        """What the client asked for."""
        if self.own_data is not None:
            return self.own_data
        return make_task_data(self.seed, self.kind, self.client_id)

    @property
    def task_name(self) -> str:
        """The type of the task; unknown where a record was replaced by bytes that do not say it."""
        if self.own_data is not None or self.raw is not None:
            return str((self.own_data or {}).get("task_name", ""))
        return "transcription" if self.kind == "transcription" else "content-moderation"

    @property
    def result(self) -> Json | None:
        """What came of it, whether or not the service still keeps it."""
        if self.own_result is not None:
            return self.own_result
        if self.status == "SUCCESS":
            return make_result(self.seed, self.kind, self.task_data)
        if self.status == "FAILURE":
            return {"error": make_error(self.seed, str(self.task_data.get("url", "")))}
        return None

    @property
    def total_time_sec(self) -> float | None:
        """How long it took from its first start to its end."""
        if self.started_at is None or self.completed_at is None:
            return None
        seconds = (self.completed_at - self.started_at).total_seconds()
        return int(seconds) if self.seed % 3 == _WHOLE_SECONDS else round(seconds, 3)

    def is_expired(self, now: dt.datetime) -> bool:
        """Tell whether the month for which results are kept is over."""
        done = self.completed_at
        return self.result_deleted or (done is not None and now >= done + RESULT_KEPT_FOR)

    def move(self, status: str, at: dt.datetime, progress: int | None) -> None:
        """Take the next step of a life; a first start and an end leave their times."""
        if status not in FOLLOWS.get(self.status, STATUSES):
            raise IllegalMove(self.task_id, self.status, status)
        self.status, self.progress, self.wire = status, progress, None
        if status == "STARTED" and self.started_at is None:
            self.started_at = self._read_clock(at)
        elif status in FINAL and self.started_at is not None:
            self.completed_at = max(self._read_clock(at), self.started_at)

    def grow_up(self, lived: Sequence[Step]) -> None:
        """Take the first steps of a life all at once; it comes to the same as taking one by one."""
        start = next((step.age for step in lived if step.status == "STARTED"), None)
        end, self.status, self.progress = lived[-1]
        if start is not None:
            self.started_at = self._read_clock(self.created_at + dt.timedelta(seconds=start))
            if self.status in FINAL:
                self.completed_at = self._read_clock(self.created_at + dt.timedelta(seconds=end))

    def _read_clock(self, at: dt.datetime) -> dt.datetime:
        return at - _MICROSECOND * (at.microsecond % _GRAINS[self.seed % 3])

    def show_time(self, at: dt.datetime | None) -> str | None:
        """Write a time as `…:29.25Z`, `…:27Z` or `….000Z`, whichever is this task's way."""
        if at is None:
            return None
        if self.seed % 3 == _MILLISECONDS:
            return at.isoformat(timespec="milliseconds")[:23] + "Z"
        text = at.isoformat()[:-6]
        return (text.rstrip("0") if "." in text else text) + "Z"
