"""One page of the list in its envelope, with the errors that the behaviour asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etl.emulator.query import Query, select
from etl.emulator.render import dump, render_records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl.emulator.behaviour import Behaviour, FieldState
    from etl.emulator.content import Json
    from etl.emulator.index import Index
    from etl.emulator.task import Task


class PageNotFound(LookupError):
    """The page is after the last one, or the list is empty, and the server answers that with 404."""


def render_page(query: Query, index: Index, behaviour: Behaviour, cap: int) -> bytes:
    """Return the body of a list response; `cap` is the largest page size granted."""
    tasks = select(query, index, behaviour)
    limit = behaviour.own_page_size or min(query.limit, cap)
    page = 1 if behaviour.page_ignored else query.page
    start, count = (page - 1) * limit, len(tasks)
    if behaviour.past_end == "404" and start >= max(count, 1):
        raise PageNotFound
    if behaviour.empty_list == "404" and not count:
        raise PageNotFound
    is_refused = behaviour.page_limit is not None and query.limit > behaviour.page_limit
    shown = [] if is_refused else _slice(tasks, start, limit, behaviour)
    next_page = _next_page(query.page, behaviour, has_next=start + limit < count)
    envelope: Json = {
        **_count(count, len(shown), behaviour),
        **_field("next", next_page, f"page={page + 7}", behaviour.next_is),
        "previous": f"page={query.page - 1}" if query.page > 1 else None,
        "results": render_records(shown, index, behaviour),
    }
    return dump(envelope)


def _next_page(page: int, behaviour: Behaviour, *, has_next: bool) -> str | None:
    if behaviour.next_page_loops:
        return f"page={page}"
    return f"page={page + 1}" if has_next else None


def _count(count: int, shown: int, behaviour: Behaviour) -> Json:
    if behaviour.count_is == "of_page":
        return {"count": shown}
    return _field("count", count, count + behaviour.count_error, behaviour.count_is)


def _field(name: str, right: object, wrong: object, state: FieldState) -> Json:
    if state == "absent":
        return {}
    text = "?" if right is None else str(right)
    return {name: {"ok": right, "null": None, "wrong": wrong, "string": text}[state]}


def _slice(tasks: Sequence[Task], start: int, limit: int, behaviour: Behaviour) -> list[Task]:
    """Return the tasks of a page, with a duplicate if the behaviour asks for one."""
    shown = list(tasks[start : start + limit])
    if behaviour.duplicates == "page":
        return shown + shown[:1]
    if behaviour.duplicates == "across" and shown and start:
        return [tasks[start - 1], *shown]
    return shown
