"""A world of tasks, and what a test can do to it by hand."""

from __future__ import annotations

import dataclasses
import json
from types import MappingProxyType
from typing import TYPE_CHECKING

from etl.emulator.timeline import Timeline

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from etl.emulator.content import Json
    from etl.emulator.task import Task


class World(Timeline):
    """
    Tasks that come, live and end by themselves, or as they are told.

    Time stands still until `advance`, or runs at `speed` simulated seconds a second. A task that was
    touched by hand leaves its planned life and stays as it was put. One lock guards everything.
    """

    @property
    def tasks(self) -> Mapping[str, Task]:
        """The truth: every task that exists now, by id."""
        self.catch_up()
        return MappingProxyType(self.index.tasks)

    @property
    def deleted(self) -> Mapping[str, Task]:
        """Those that were deleted and not revived."""
        return MappingProxyType(self._deleted)

    def create(
        self,
        *,
        kind: str = "transcription",
        task_id: str | None = None,
        task_data: Json | None = None,
        created_at: dt.datetime | None = None,
        lives: bool = False,
    ) -> str:
        """Add a task, RECEIVED and waiting for what a test does to it, unless it `lives` by itself."""
        with self.lock:
            task = self._bear(created_at or self.now, kind, lives=lives)
            task.task_id = task_id or task.task_id
            task.own_data = task_data
            if task.task_id in self.index.tasks:
                raise ValueError(f"there is a task {task.task_id} already")
            self.index.add(task)
            return task.task_id

    def start(self, task_id: str, progress: int | None = None) -> None:
        """Let it run: it is STARTED, and has a start from now on."""
        self._step(task_id, "STARTED", progress)

    def set_progress(self, task_id: str, progress: int | None) -> None:
        """Show another progress, the status staying what it is."""
        with self.lock:
            task = self._take(task_id)
            task.progress = progress
            self.index.touch(task)

    def send_back(self, task_id: str) -> None:
        """Let a running task wait for its next stage: STARTED becomes PENDING again."""
        self._step(task_id, "PENDING")

    def retry(self, task_id: str) -> None:
        """Let a running task fail for internal reasons, and queue again."""
        self._step(task_id, "RETRY", 0)

    def finish(self, task_id: str, result: Json | None = None) -> None:
        """Let it succeed, with this result or an invented one; it starts first if it had not."""
        self._end(task_id, "SUCCESS", 100, result)

    def fail(self, task_id: str, error: str | None = None) -> None:
        """Let it fail, with this error or an invented one; it starts first if it had not."""
        self._end(task_id, "FAILURE", None, None if error is None else {"error": error})

    def revoke(self, task_id: str) -> None:
        """Cancel it, started or not."""
        self._step(task_id, "REVOKED")

    def set_status(self, task_id: str, status: str) -> None:
        """Put it in any status at all, one that nobody has heard of included."""
        with self.lock:
            task = self._take(task_id)
            with self.index.moving(task):
                task.status = status

    def delete(self, task_id: str) -> None:
        """Let it vanish from the list and from its own address."""
        with self.lock:
            task = self._take(task_id)
            self.index.remove(task)
            self._deleted[task_id] = task

    def revive(self, task_id: str) -> None:
        """Bring a deleted task back, as it was."""
        with self.lock:
            self.index.add(self._deleted.pop(task_id))

    def expire_result(self, task_id: str) -> None:
        """Let the service forget the result before its month is over."""
        with self.lock:
            self.index.tasks[task_id].result_deleted = True

    def add_raw(self, sort_key: str, raw: bytes) -> None:
        """
        Add a record that is served verbatim, malformed or not.

        It stands where `sort_key` would stand among the ids. What can be read of it counts for filters.
        """
        with self.lock:
            self.create(task_id=sort_key)
            self.replace_raw(sort_key, raw)

    def replace_raw(self, task_id: str, raw: bytes | None) -> None:
        """Serve these bytes verbatim in place of the true record; None brings the truth back."""
        with self.lock:
            task = self._take(task_id)
            self.index.remove(task)
            true = self._true.setdefault(task_id, task)
            self.index.add(true if raw is None else _pose(true, raw))

    def _take(self, task_id: str) -> Task:
        """Take a task by the hand: from now on it does nothing by itself."""
        self.catch_up()
        task = self.index.tasks[task_id]
        task.life = None
        return task

    def _step(self, task_id: str, status: str, progress: int | None = None) -> None:
        with self.lock:
            task = self._take(task_id)
            self._move(task, status, task.progress if progress is None else progress)

    def _end(self, task_id: str, status: str, progress: int | None, result: Json | None) -> None:
        with self.lock:
            if self._take(task_id).status != "STARTED":
                self._step(task_id, "STARTED")
            self._step(task_id, status, progress)
            self.index.tasks[task_id].own_result = result


def _pose(true: Task, raw: bytes) -> Task:
    """Make a task that shows as these bytes, and is found by what can be read of them."""
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError):
        record = None
    said = record if isinstance(record, dict) else {}
    data = said.get("task_data")
    return dataclasses.replace(
        true,
        raw=raw,
        wire=None,
        haystack=raw.decode(errors="replace").casefold(),
        status=str(said.get("status", "")),
        progress=progress if isinstance(progress := said.get("progress"), int) else None,
        own_data=data if isinstance(data, dict) else {},
    )
