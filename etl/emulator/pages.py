"""One page of the list, with the envelope around it, right or wrong as the switches say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etl.emulator.query import Query, select
from etl.emulator.render import dump, render_records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl.emulator.behaviour import Behaviour, Envelope
    from etl.emulator.index import Index
    from etl.emulator.task import Task


class PastTheEnd(LookupError):
    """A page after the last one, on a server that minds."""


def render_page(query: Query, index: Index, behaviour: Behaviour, cap: int) -> bytes:
    """Write the answer to a list request; `cap` is the largest page granted to this one."""
    tasks = select(query, index, behaviour)
    limit = behaviour.own_page_size or min(query.limit, cap)
    page = 1 if behaviour.page_ignored else query.page
    start, count = (page - 1) * limit, len(tasks)
    if behaviour.past_end == "404" and start >= max(count, 1):
        raise PastTheEnd
    if behaviour.empty_list == "404" and not count:
        raise PastTheEnd
    is_refused = behaviour.page_limit is not None and query.limit > behaviour.page_limit
    shown = [] if is_refused else _repeat(tasks, start, limit, behaviour)
    records = render_records(shown, index, behaviour)
    has_next = start + limit < count
    head = [
        *_count(count, len(shown), behaviour),
        *_entry(
            "next", _find_next(query.page, behaviour, more=has_next), f"page={page + 7}", behaviour.next_is
        ),
        b'"previous":' + (dump(f"page={query.page - 1}") if query.page > 1 else b"null"),
        b'"results":[' + b"".join(records[:1]),
    ]
    # One join of everything: a page may be half a megabyte, and each copy costs as much as sending it.
    records[:1] = [b"{" + b",".join(head)]
    records[-1] += b"]}"
    return b",".join(records)


def _find_next(page: int, behaviour: Behaviour, *, more: bool) -> str | None:
    if behaviour.next_page_loops:
        return f"page={page}"
    return f"page={page + 1}" if more else None


def _count(count: int, shown: int, behaviour: Behaviour) -> list[bytes]:
    if behaviour.count_is == "of_page":
        return _entry("count", shown, shown, "ok")
    return _entry("count", count, count + behaviour.count_error, behaviour.count_is)


def _entry(name: str, right: object, wrong: object, how: Envelope) -> list[bytes]:
    if how == "absent":
        return []
    said = {"ok": right, "null": None, "wrong": wrong, "string": "?" if right is None else str(right)}[how]
    return [dump(name) + b":" + dump(said)]


def _repeat(tasks: Sequence[Task], start: int, limit: int, behaviour: Behaviour) -> list[Task]:
    """Cut the page out, with one record too many if the server repeats itself."""
    shown = list(tasks[start : start + limit])
    if behaviour.duplicates == "page":
        return shown + shown[:1]
    if behaviour.duplicates == "across" and shown and start:
        return [tasks[start - 1], *shown]
    return shown
