"""What a list request asks for, and which tasks that is."""

from __future__ import annotations

import datetime as dt
import itertools
import random
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etl.emulator.index import ORDERINGS, Index, View
from etl.emulator.render import dump
from etl.emulator.task import STATUSES, Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from etl.emulator.behaviour import Behaviour

NEWEST_START_FIRST = "-started_at"
DEFAULT_LIMIT = 10


class BadParameter(ValueError):
    """A parameter that is refused, with 400 unless something else is said."""

    def __init__(self, message: str, status: int = 400) -> None:
        self.status = status
        super().__init__(message)


@dataclass(slots=True, frozen=True)
class Query:
    """A list request, understood."""

    page: int = 1
    limit: int = DEFAULT_LIMIT
    task_id: str | None = None
    task_name: str | None = None
    status: str | None = None
    search: str | None = None
    created: tuple[dt.datetime | None, dt.datetime | None] = (None, None)
    """Created in `[from, to)`."""
    ordering: str = NEWEST_START_FIRST


def parse_query(params: Mapping[str, str], behaviour: Behaviour) -> Query:
    """Understand the parameters as this server would, or refuse them."""
    most, refusal = behaviour.page_limit, behaviour.page_refusal
    if most is not None and refusal != "empty" and _whole(params, "limit", DEFAULT_LIMIT) > most:
        raise BadParameter(f"limit must be <= {most}", refusal)
    status = params.get("status") or None
    if status and status not in STATUSES and behaviour.unknown_status_rejected:
        raise BadParameter(f"status: {status!r} is not one of the available choices")
    return Query(
        page=_whole(params, "page", 1),
        limit=_whole(params, "limit", DEFAULT_LIMIT),
        task_id=None if behaviour.task_id_ignored else _id(params.get("task_id")),
        task_name=params.get("task_name") or None,
        status=status,
        search=params.get("search", "").casefold() or None,
        created=_created(params.get("date_created"), behaviour),
        ordering=_ordering(params.get("ordering"), behaviour),
    )


def select(query: Query, index: Index, behaviour: Behaviour) -> Sequence[Task]:
    """
    Give the tasks asked for, in order; what is returned can be sliced and has a length.

    Filters of status and type are sorted lists of their own. The others pick from such a list, and what
    they picked is kept until the world changes, so that turning pages does not pick again.
    """
    view = View(query.ordering, behaviour.nulls, query.status, query.task_name)
    if query.task_id is not None:
        picked = _pick(query, view, index)
    elif query.search is None and query.created == (None, None):
        picked = index.view(view)
    else:
        what = (view, query.search, query.created)
        picked = index.remember(what, lambda: _pick(query, view, index))
    return _shuffle_ties(picked, query.ordering) if behaviour.ties_at_random else picked


def _pick(query: Query, view: View, index: Index) -> Sequence[Task]:
    start, end = query.created
    if query.task_id is not None:
        known = index.tasks.get(query.task_id)
        found = [] if known is None or not view.holds(known) else [known]
        found = [task for task in found if start is None or task.created_at >= start]
        found = [task for task in found if end is None or task.created_at < end]
    elif start is None and end is None:
        found = list(index.view(view))
    else:
        found = sorted(filter(view.holds, index.created_between(start, end)), key=view.key())
    return [task for task in found if query.search is None or query.search in _haystack(task)]


def _haystack(task: Task) -> str:
    if task.haystack is None:
        data = dump(task.task_data).decode()
        task.haystack = f"{task.task_id}\n{task.task_name}\n{task.status}\n{data}".casefold()
    return task.haystack


def _shuffle_ties(tasks: Sequence[Task], ordering: str) -> Sequence[Task]:
    field = ordering.lstrip("-")
    shuffled: list[Task] = []
    for _, equals in itertools.groupby(tasks, key=lambda task: getattr(task, field)):
        group = list(equals)
        random.shuffle(group)
        shuffled += group
    return shuffled


def _whole(params: Mapping[str, str], name: str, default: int) -> int:
    text = params.get(name, "")
    if text == "":
        return default
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise BadParameter(f"{name}: a whole number from 1 is required")
    return int(text)


def _id(text: str | None) -> str | None:
    if not text:
        return None
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise BadParameter("task_id: a valid UUID is required") from None


def _ordering(text: str | None, behaviour: Behaviour) -> str:
    if not text or behaviour.ordering_ignored:
        return NEWEST_START_FIRST
    field = text.removeprefix("-") if behaviour.ordering_descending else text
    if field not in ORDERINGS:
        raise BadParameter(f"ordering: {text!r} is not one of {', '.join(ORDERINGS)}")
    return text


def _created(text: str | None, behaviour: Behaviour) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Turn the date into the span of creation times that this server takes it to mean."""
    if not text or behaviour.date_created == "ignored":
        return None, None
    if behaviour.date_created == "rejected":
        raise BadParameter("date_created: unknown filter")
    zone = dt.timezone(behaviour.utc_offset)
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        raise BadParameter("date_created: a date-time in ISO 8601 is required") from None
    at = at.replace(tzinfo=zone) if at.tzinfo is None else at.astimezone(zone)
    instant = dt.timedelta(microseconds=1)
    match behaviour.date_created:
        case "gte":
            return at, None
        case "lte":
            return None, at + instant
        case "exact":
            return at, at + instant
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight, midnight + dt.timedelta(days=1)
