"""Checks that nothing lies between two neighbouring slices of a list, and that a slice is the last one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from etl.extract.page_slice import PageSlice
    from etl.extract.page_source import ListSource

# If a list shows records twice, it may end up to this many positions earlier than it seems to.
MAX_SHOWN_TWICE = 3


class Check(NamedTuple):
    """
    Whether a condition holds, and whether that is proved.

    Checks of single records prove nothing, because a list may change and change back between two requests.
    """

    holds: bool
    is_proved: bool = True


def is_misplaced(here: PageSlice, last: PageSlice, position: int) -> bool:
    """
    Return whether the position of a slice is unknown, because it is shorter than requested but not the last.

    If a server grants smaller pages than before, page numbers refer to the smaller size; only the first page
    still begins at the same position. A slice with neither a new record nor the last record of the previous
    slice does not end the list, even if its count happens to match.
    """
    if position == 0 or here.size == 0 or here.is_full:
        return False
    is_beyond = here.end >= position and not here.keys <= last.keys
    reaches = is_beyond or here.last_id == last.last_id
    return not (reaches and here.is_called_last)


def joins(source: ListSource, here: PageSlice, last: PageSlice, position: int, own_size: int | None) -> Check:
    """
    Check that nothing can lie between a slice and the last one; a slice from the top always joins.

    If no page size makes the two overlap, the record before the slice is requested on its own. Records
    without an id may be identical; if the slices share only such records, the last task must still be at its
    previous position.
    """
    if here.request.start == 0:
        return Check(holds=True)
    shared, is_proved = here.keys & last.keys, True
    if not shared and here.request.start >= position:
        shared, is_proved = source.slice_at(position - 1, own_size).keys & last.keys, False
    if last.last_id is None or any(isinstance(key, str) for key in shared):
        return Check(bool(shared), is_proved)
    is_shared = bool(shared) and last.last_id in source.slice_at(last.last_place, own_size).keys
    return Check(is_shared, is_proved)


def ends_at(  # noqa: PLR0913
    source: ListSource,
    position: int,
    last: PageSlice,
    *,
    is_ordered: bool,
    own_size: int | None,
    granted: int | None,
) -> Check:
    """
    Check that the list ends at a position, after the last slice: with one more slice, or record by record.

    The second way is needed if the server grants no larger slice, or if the list shows a record twice and so
    ends earlier than it seems to.
    """
    max_size = max(granted or 0, last.size) if own_size is None and last.size else 0
    shown = source.slice_around(position, max_size)
    if shown.size and shown.end == position and shown.page.keys[-1] == last.page.keys[-1]:
        return Check(holds=True)
    if is_ordered and (shown.last_id or "") > (last.last_id or ""):
        return Check(holds=False)
    if source.slice_at(position, own_size).end > position:
        return Check(holds=False)
    for place in range(position - 1, max(-1, position - 1 - MAX_SHOWN_TWICE), -1):
        if found := source.slice_at(place, own_size).keys:
            return Check(not found.isdisjoint(last.keys), is_proved=False)
    return Check(holds=False, is_proved=False)
