"""Every order and filter the list offers, sorted once, then kept so while the world changes."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from sortedcontainers import SortedKeyList

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from etl.emulator.task import Task

Nulls = Literal["first", "last"]
_REMEMBERED = 8
ORDERINGS = ("task_id", "status", "task_name", "started_at")


class View(NamedTuple):
    """One way to look at the list: who is on it, and in which order."""

    ordering: str
    nulls: Nulls = "last"
    status: str | None = None
    task_name: str | None = None

    def holds(self, task: Task) -> bool:
        """Tell whether the task passes this view's filters."""
        return (self.status is None or self.status == task.status) and (
            self.task_name is None or self.task_name == task.task_name
        )

    def key(self) -> Callable[[Task], Any]:
        """Give what this view sorts by; the id breaks every tie."""
        match self.ordering:
            case "task_id":
                return lambda task: task.task_id
            case "status":
                return lambda task: (task.status, task.task_id)
            case "task_name":
                return lambda task: (task.task_name, task.task_id)
            case "created_at":
                return lambda task: (task.created_at, task.task_id)
        sign = -1 if self.ordering.startswith("-") else 1
        null = (-1, 0.0) if self.nulls == "first" else (1, 0.0)
        return lambda task: (
            *((0, sign * task.started_at.timestamp()) if task.started_at else null),
            task.task_id,
        )


class Index:
    """The tasks of a world in any order. A view is sorted when it is first asked for, and never again."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.wire_shape: object = None
        """In which of the record's shapes the tasks were last rendered."""
        self.version = 0
        """Grows with every change, of whatever kind."""
        self._views: dict[View, Any] = {}
        self._memory: dict[Hashable, Sequence[Task]] = {}
        self._memory_version = 0

    def view(self, view: View) -> Sequence[Task]:
        """Give the tasks that pass the view's filters, in its order; slices cost no sorting."""
        found = self._views.get(view)
        if found is None:
            found = SortedKeyList((task for task in self.tasks.values() if view.holds(task)), key=view.key())
            self._views[view] = found
        return cast("Sequence[Task]", found)

    def created_between(self, start: dt.datetime | None, end: dt.datetime | None) -> Sequence[Task]:
        """Give those created in `[start, end)`, either bound being optional."""
        ages: Any = self.view(View("created_at"))
        low = 0 if start is None else ages.bisect_key_left((start, ""))
        high = len(ages) if end is None else ages.bisect_key_left((end, ""))
        return cast("Sequence[Task]", ages[low:high])

    def remember(self, what: Hashable, pick: Callable[[], Sequence[Task]]) -> Sequence[Task]:
        """Give what was picked for this question last time, unless something has changed since."""
        if self._memory_version != self.version or len(self._memory) > _REMEMBERED:
            self._memory.clear()
            self._memory_version = self.version
        found = self._memory.get(what)
        if found is None:
            found = self._memory[what] = pick()
        return found

    def load(self, tasks: Iterable[Task]) -> None:
        """Take in many at once; only for a world nobody has looked at yet."""
        self.tasks.update((task.task_id, task) for task in tasks)
        self._views.clear()
        self.version += 1

    def add(self, task: Task) -> None:
        """List one more task."""
        self.tasks[task.task_id] = task
        self._enter(task)

    def remove(self, task: Task) -> None:
        """List it no more."""
        self._leave(task)
        del self.tasks[task.task_id]

    @contextlib.contextmanager
    def moving(self, task: Task) -> Iterator[None]:
        """Take the task out of its places while it changes: the sorted lists find it by what it was."""
        listed = task.task_id in self.tasks
        if listed:
            self._leave(task)
        try:
            yield
        finally:
            task.wire = task.haystack = None
            if listed:
                self._enter(task)

    def touch(self, task: Task) -> None:
        """Note a change of something that nothing is sorted by."""
        task.wire = None
        self.version += 1

    def _enter(self, task: Task) -> None:
        self.version += 1
        for view, members in self._views.items():
            if view.holds(task):
                members.add(task)

    def _leave(self, task: Task) -> None:
        self.version += 1
        for view, members in self._views.items():
            if view.holds(task):
                members.remove(task)
