"""A world of tasks, and the operations by which tests change it."""

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
    Tasks that follow their planned lifecycle, or are changed by hand.

    The clock advances with `advance`, or at `speed` simulated seconds per second. A task that was changed by
    hand no longer follows its plan. One lock guards everything.
    """

    @property
    def tasks(self) -> Mapping[str, Task]:
        """The tasks that exist now, by id."""
        self.catch_up()
        return MappingProxyType(self.index.tasks)

    @property
    def deleted(self) -> Mapping[str, Task]:
        """The deleted tasks, by id."""
        return MappingProxyType(self._deleted)

    def create(
        self,
        *,
        kind: str = "transcription",
        task_id: str | None = None,
        task_data: Json | None = None,
        created_at: dt.datetime | None = None,
        has_plan: bool = False,
    ) -> str:
        """Add a task, and return its id. It stays RECEIVED unless it `has_plan`."""
        with self.lock:
            if task_id in self.index.tasks:
                raise ValueError(f"the task {task_id} exists already")
            task = self._create_task(created_at or self.now, kind, has_plan=has_plan)
            task.task_id = task_id or task.task_id
            task.own_data = task_data
            self.index.add(task)
            return task.task_id

    def start(self, task_id: str, progress: int | None = None) -> None:
        """Change the status to STARTED."""
        self._step(task_id, "STARTED", progress)

    def set_progress(self, task_id: str, progress: int | None) -> None:
        """Change the progress alone."""
        with self.lock:
            task = self._take_over(task_id)
            task.progress, task.rendered = progress, None

    def send_back(self, task_id: str) -> None:
        """Change a STARTED task back to PENDING, as between two stages."""
        self._step(task_id, "PENDING")

    def retry(self, task_id: str) -> None:
        """Change a STARTED task to RETRY, as after an internal error."""
        self._step(task_id, "RETRY", 0)

    def finish(self, task_id: str, result: Json | None = None) -> None:
        """Change the status to SUCCESS, by way of STARTED, with this result or a generated one."""
        self._end(task_id, "SUCCESS", 100, result)

    def fail(self, task_id: str, error: str | None = None) -> None:
        """Change the status to FAILURE, by way of STARTED, with this error or a generated one."""
        self._end(task_id, "FAILURE", None, None if error is None else {"error": error})

    def revoke(self, task_id: str) -> None:
        """Change the status to REVOKED."""
        self._step(task_id, "REVOKED")

    def set_status(self, task_id: str, status: str) -> None:
        """Change the status to any text, even an undocumented one."""
        with self.lock:
            task = self._take_over(task_id)
            with self.index.updating(task):
                task.status = status

    def delete(self, task_id: str) -> None:
        """Delete it from the list; its details are answered with 404."""
        with self.lock:
            task = self._take_over(task_id)
            self.index.remove(task)
            self._deleted[task_id] = task

    def revive(self, task_id: str) -> None:
        """Restore a deleted task."""
        with self.lock:
            self.index.add(self._deleted.pop(task_id))

    def expire_result(self, task_id: str) -> None:
        """Delete the result before its month is over."""
        with self.lock:
            self.index.tasks[task_id].result_deleted = True

    def add_raw(self, sort_key: str, raw: bytes) -> None:
        """
        Add a record that is served verbatim, even if malformed.

        It is ordered as if its id were `sort_key`. Filters apply to the fields that can be parsed.
        """
        with self.lock:
            self.create(task_id=sort_key)
            self.replace_raw(sort_key, raw)

    def replace_raw(self, task_id: str, raw: bytes | None) -> None:
        """Serve these bytes verbatim in place of the real record; None restores that."""
        with self.lock:
            task = self._take_over(task_id)
            self.index.remove(task)
            original = self._originals.setdefault(task_id, task)
            self.index.add(original if raw is None else _with_raw(original, raw))

    def _take_over(self, task_id: str) -> Task:
        """Return a task, which from now on does not follow its plan."""
        self.catch_up()
        task = self.index.tasks[task_id]
        task.planned = None
        return task

    def _step(self, task_id: str, status: str, progress: int | None = None) -> None:
        with self.lock:
            task = self._take_over(task_id)
            self._move(task, status, task.progress if progress is None else progress)

    def _end(self, task_id: str, status: str, progress: int | None, result: Json | None) -> None:
        with self.lock:
            if self._take_over(task_id).status != "STARTED":
                self._step(task_id, "STARTED")
            self._step(task_id, status, progress)
            self.index.tasks[task_id].own_result = result


def _with_raw(original: Task, raw: bytes) -> Task:
    """Return a copy that is rendered as these bytes, and filtered by the fields that can be parsed."""
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError):
        record = None
    fields = record if isinstance(record, dict) else {}
    data = fields.get("task_data")
    return dataclasses.replace(
        original,
        raw=raw,
        rendered=None,
        search_text=raw.decode(errors="replace").casefold(),
        status=str(fields.get("status", "")),
        progress=progress if isinstance(progress := fields.get("progress"), int) else None,
        own_data=data if isinstance(data, dict) else {},
    )
