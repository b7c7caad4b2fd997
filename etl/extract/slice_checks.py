"""What two neighbouring slices of a list prove: that nothing lies between them, or that the list ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from etl.extract.page_slice import PageSlice
    from etl.extract.page_source import ListSource

# A list in which records are shown twice ends up to so many positions earlier than it seems to.
MAX_SHOWN_TWICE = 3


class Check(NamedTuple):
    """
    Whether something holds, and whether that is proved.

    Checks of single records prove nothing: between two requests a list may change and change back.
    """

    holds: bool
    is_proved: bool = True


def is_misplaced(here: PageSlice, last: PageSlice, position: int) -> bool:
    """
    Return whether it is unknown where a slice begins: it is shorter than requested, and not the last one.

    A server that grants less than before counts its pages by what it grants now; that only makes no
    difference at the top. A slice that shows neither a new record nor the end of the last slice does not end
    the list, even if its count fits by chance.
    """
    if position == 0 or here.size == 0 or here.is_full:
        return False
    is_beyond = here.end >= position and not here.keys <= last.keys
    reaches = is_beyond or here.last_id == last.last_id
    return not (reaches and here.is_called_last)


def joins(source: ListSource, here: PageSlice, last: PageSlice, position: int, own_size: int | None) -> Check:
    """
    Check that nothing can lie between a slice and the last one; a slice from the top always joins.

    If no page size makes the two overlap, the record before the slice is requested by itself. Records
    without an id may look alike; if the slices share only such records, the last task must still be where it
    was.
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
    Check that the list ends at a position, behind the last slice: with one more slice, or record by record.

    A server may grant no larger slice, and a list that shows a record twice ends sooner than it seems to.
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
