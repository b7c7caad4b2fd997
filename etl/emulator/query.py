"""The parameters of a list request, and the tasks that they select."""

from __future__ import annotations

import datetime as dt
import itertools
import random
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etl.emulator.index import ORDERINGS, Index, Listing
from etl.emulator.render import dump
from etl.emulator.task import STATUSES, Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from etl.emulator.behaviour import Behaviour

NEWEST_START_FIRST = "-started_at"
DEFAULT_LIMIT = 10


class BadParameter(ValueError):
    """A parameter that is refused, by default with 400."""

    def __init__(self, message: str, status: int = 400) -> None:
        self.status = status
        super().__init__(message)


@dataclass(slots=True, frozen=True)
class Query:
    """The parsed parameters of a list request."""

    page: int = 1
    limit: int = DEFAULT_LIMIT
    task_id: str | None = None
    task_name: str | None = None
    status: str | None = None
    search: str | None = None
    created: tuple[dt.datetime | None, dt.datetime | None] = (None, None)
    """The range of creation times, `[from, to)`."""
    ordering: str = NEWEST_START_FIRST


def parse_query(params: Mapping[str, str], behaviour: Behaviour) -> Query:
    """Return the parsed parameters. Raises BadParameter for those that the server refuses."""
    max_limit, refusal = behaviour.page_limit, behaviour.page_refusal
    limit = _positive_int(params, "limit", DEFAULT_LIMIT)
    if max_limit is not None and refusal != "empty" and limit > max_limit:
        raise BadParameter(f"limit must be <= {max_limit}", refusal)
    status = params.get("status") or None
    if status and status not in STATUSES and behaviour.unknown_status_rejected:
        raise BadParameter(f"status: {status!r} is not one of the available choices")
    return Query(
        page=_positive_int(params, "page", 1),
        limit=limit,
        task_id=None if behaviour.task_id_ignored else _uuid(params.get("task_id")),
        task_name=params.get("task_name") or None,
        status=status,
        search=params.get("search", "").casefold() or None,
        created=_creation_range(params.get("date_created"), behaviour),
        ordering=_ordering(params.get("ordering"), behaviour),
    )


def select(query: Query, index: Index, behaviour: Behaviour) -> Sequence[Task]:
    """
    Return the selected tasks, in order.

    There is a sorted listing for each status and task name. The other filters select from a listing, and
    their result is cached until a task changes, so that reading further pages does not select again.
    """
    listing = Listing(query.ordering, behaviour.nulls, query.status, query.task_name)
    if query.task_id is not None:
        tasks = _filter(query, listing, index)
    elif query.search is None and query.created == (None, None):
        tasks = index.list_tasks(listing)
    else:
        key = (listing, query.search, query.created)
        tasks = index.cached(key, lambda: _filter(query, listing, index))
    return _shuffle_ties(tasks, query.ordering) if behaviour.ties_at_random else tasks


def _filter(query: Query, listing: Listing, index: Index) -> Sequence[Task]:
    start, end = query.created
    if query.task_id is not None:
        known = index.tasks.get(query.task_id)
        found = [] if known is None or not listing.matches(known) else [known]
        found = [task for task in found if start is None or task.created_at >= start]
        found = [task for task in found if end is None or task.created_at < end]
    elif start is None and end is None:
        found = list(index.list_tasks(listing))
    else:
        found = sorted(filter(listing.matches, index.created_between(start, end)), key=listing.key())
    return [task for task in found if query.search is None or query.search in _search_text(task)]


def _search_text(task: Task) -> str:
    if task.search_text is None:
        data = dump(task.task_data).decode()
        task.search_text = f"{task.task_id}\n{task.task_name}\n{task.status}\n{data}".casefold()
    return task.search_text


def _shuffle_ties(tasks: Sequence[Task], ordering: str) -> Sequence[Task]:
    field = ordering.lstrip("-")
    shuffled: list[Task] = []
    for _, equals in itertools.groupby(tasks, key=lambda task: getattr(task, field)):
        group = list(equals)
        random.shuffle(group)
        shuffled += group
    return shuffled


def _positive_int(params: Mapping[str, str], name: str, default: int) -> int:
    text = params.get(name, "")
    if text == "":
        return default
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise BadParameter(f"{name}: a whole number from 1 is required")
    return int(text)


def _uuid(text: str | None) -> str | None:
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


def _creation_range(text: str | None, behaviour: Behaviour) -> tuple[dt.datetime | None, dt.datetime | None]:
    """Return the range of creation times that the server's date-filter semantics gives a date."""
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
