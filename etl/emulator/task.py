"""One task: its state, its legal transitions, and the format of its times."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from etl.emulator.content import Json, make_error, make_result, make_task_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from msgspec import Raw

    from etl.emulator.lifecycle import Step

TERMINAL = frozenset({"SUCCESS", "FAILURE", "REVOKED"})
STATUSES = TERMINAL | {"RECEIVED", "PENDING", "STARTED", "RETRY"}

# A task begins as RECEIVED; terminal statuses have no transitions.
TRANSITIONS: dict[str, frozenset[str]] = {
    "RECEIVED": frozenset({"PENDING", "STARTED", "REVOKED"}),
    "PENDING": frozenset({"STARTED", "REVOKED"}),
    "STARTED": frozenset({"STARTED", "PENDING", "RETRY", "SUCCESS", "FAILURE", "REVOKED"}),
    "RETRY": frozenset({"STARTED", "PENDING", "REVOKED"}),
    **dict.fromkeys(TERMINAL, frozenset()),
}

_MICROSECOND = dt.timedelta(microseconds=1)
RESULT_KEPT_FOR = dt.timedelta(days=30)

# The API writes times in three formats. Each task uses one; these are their resolutions in microseconds.
_RESOLUTIONS = (10_000, 1_000_000, 1_000)
_WHOLE_SECONDS, _MILLISECONDS = 1, 2


class IllegalTransition(ValueError):
    """A task cannot change to this status."""

    def __init__(self, task_id: str, status: str, wanted: str) -> None:
        super().__init__(f"task {task_id} is {status} and cannot become {wanted}")


@dataclass(slots=True, eq=False)
class Task:
    """The state of one task. Change it through its world, which keeps the index up to date."""

    task_id: str
    kind: str
    seed: int
    client_id: int
    created_at: dt.datetime
    status: str = "RECEIVED"
    progress: int | None = 0
    started_at: dt.datetime | None = None
    completed_at: dt.datetime | None = None
    planned: Iterator[Step] | None = field(default=None, repr=False)
    """The remaining steps of its lifecycle; None once it was changed by hand."""
    result_deleted: bool = False
    raw: bytes | None = None
    """A record that is served verbatim in place of the real one."""
    own_data: Json | None = None
    own_result: Json | None = None
    rendered: Raw | None = field(default=None, repr=False)
    """The record as last rendered; every change clears it."""
    search_text: str | None = field(default=None, repr=False)

    @property
    def task_data(self) -> Json:
        """What the client sent when it created the task."""
        if self.own_data is not None:
            return self.own_data
        return make_task_data(self.seed, self.kind, self.client_id)

    @property
    def task_name(self) -> str:
        """The type of the task; empty if a raw record does not state it."""
        if self.own_data is not None or self.raw is not None:
            return str((self.own_data or {}).get("task_name", ""))
        return "transcription" if self.kind == "transcription" else "content-moderation"

    @property
    def result(self) -> Json | None:
        """The result, even if the API has deleted it."""
        if self.own_result is not None:
            return self.own_result
        if self.status == "SUCCESS":
            return make_result(self.seed, self.kind, self.task_data)
        if self.status == "FAILURE":
            return {"error": make_error(self.seed, str(self.task_data.get("url", "")))}
        return None

    @property
    def total_time_sec(self) -> float | None:
        """The time from its first start to its completion."""
        if self.started_at is None or self.completed_at is None:
            return None
        seconds = (self.completed_at - self.started_at).total_seconds()
        return int(seconds) if self.seed % 3 == _WHOLE_SECONDS else round(seconds, 3)

    def is_expired(self, now: dt.datetime) -> bool:
        """Return whether the API has deleted the result."""
        done = self.completed_at
        return self.result_deleted or (done is not None and now >= done + RESULT_KEPT_FOR)

    def move(self, status: str, at: dt.datetime, progress: int | None) -> None:
        """Change the status and the progress, and set `started_at` and `completed_at`."""
        if status not in TRANSITIONS.get(self.status, STATUSES):
            raise IllegalTransition(self.task_id, self.status, status)
        self.status, self.progress, self.rendered = status, progress, None
        if status == "STARTED" and self.started_at is None:
            self.started_at = self._truncate(at)
        elif status in TERMINAL and self.started_at is not None:
            self.completed_at = max(self._truncate(at), self.started_at)

    def apply_steps(self, steps: Sequence[Step]) -> None:
        """Apply the first steps of a lifecycle, of which only the first start and the last leave a trace."""
        starts = (step for step in steps if step.status == "STARTED")
        for step in (*itertools.islice(starts, 1), steps[-1]):
            self.move(step.status, self.created_at + dt.timedelta(seconds=step.age), step.progress)

    def _truncate(self, at: dt.datetime) -> dt.datetime:
        return at - _MICROSECOND * (at.microsecond % _RESOLUTIONS[self.seed % 3])

    def format_time(self, at: dt.datetime | None) -> str | None:
        """Return a time as `…:29.25Z`, `…:27Z` or `….000Z`, depending on the task."""
        if at is None:
            return None
        if self.seed % 3 == _MILLISECONDS:
            return at.isoformat(timespec="milliseconds")[:23] + "Z"
        text = at.isoformat()[:-6]
        return (text.rstrip("0") if "." in text else text) + "Z"
