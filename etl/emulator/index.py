"""Sorted listings of the tasks for each order and filter, kept up to date while the world changes."""

from __future__ import annotations

import contextlib
import operator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

from sortedcontainers import SortedKeyList

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from etl.emulator.task import Task

Nulls = Literal["first", "last"]
_MAX_CACHED = 8
ORDERINGS = ("task_id", "status", "task_name", "started_at")


class Listing(NamedTuple):
    """The order and the filters of a sorted list."""

    ordering: str
    nulls: Nulls = "last"
    status: str | None = None
    task_name: str | None = None

    def matches(self, task: Task) -> bool:
        """Return whether the task passes the filters."""
        return (self.status is None or self.status == task.status) and (
            self.task_name is None or self.task_name == task.task_name
        )

    def key(self) -> Callable[[Task], Any]:
        """Return the sort key; ties are ordered by id."""
        if self.ordering in {"task_id", "status", "task_name", "created_at"}:
            return operator.attrgetter(self.ordering, "task_id")
        sign = -1 if self.ordering.startswith("-") else 1
        null = (-1, 0.0) if self.nulls == "first" else (1, 0.0)
        return lambda task: (
            *((0, sign * task.started_at.timestamp()) if task.started_at else null),
            task.task_id,
        )


class Index:
    """The tasks of a world. Each listing is sorted when it is first requested, then kept up to date."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.rendered_shape: object = None
        """The record shape in which tasks were last rendered."""
        self._listings: dict[Listing, Any] = {}
        self._cache: dict[Hashable, Sequence[Task]] = {}

    def list_tasks(self, listing: Listing) -> Sequence[Task]:
        """Return the tasks of a listing; slicing it does not sort again."""
        found = self._listings.get(listing)
        if found is None:
            matching = (task for task in self.tasks.values() if listing.matches(task))
            found = self._listings[listing] = SortedKeyList(matching, key=listing.key())
        return cast("Sequence[Task]", found)

    def created_between(self, start: dt.datetime | None, end: dt.datetime | None) -> Sequence[Task]:
        """Return the tasks created in `[start, end)`; both bounds are optional."""
        by_creation: Any = self.list_tasks(Listing("created_at"))
        low = 0 if start is None else by_creation.bisect_key_left((start, ""))
        high = len(by_creation) if end is None else by_creation.bisect_key_left((end, ""))
        return cast("Sequence[Task]", by_creation[low:high])

    def cached(self, key: Hashable, find: Callable[[], Sequence[Task]]) -> Sequence[Task]:
        """Return the cached result for this key, or that of `find` if a task has changed since."""
        if len(self._cache) > _MAX_CACHED:
            self._cache.clear()
        found = self._cache.get(key)
        if found is None:
            found = self._cache[key] = find()
        return found

    def add(self, task: Task) -> None:
        """Add a task to all listings that it matches."""
        self.tasks[task.task_id] = task
        self._enter(task)

    def remove(self, task: Task) -> None:
        """Remove a task from all listings."""
        self._leave(task)
        del self.tasks[task.task_id]

    @contextlib.contextmanager
    def updating(self, task: Task) -> Iterator[None]:
        """Remove the task from the listings while it changes, because they locate it by its sort key."""
        self._leave(task)
        try:
            yield
        finally:
            task.rendered = task.search_text = None
            self._enter(task)

    def _enter(self, task: Task) -> None:
        self._cache.clear()
        for listing, members in self._listings.items():
            if listing.matches(task):
                members.add(task)

    def _leave(self, task: Task) -> None:
        self._cache.clear()
        for listing, members in self._listings.items():
            if listing.matches(task):
                members.remove(task)
