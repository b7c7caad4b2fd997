"""The row of `sync_state`: read it whole, write only what changed."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from etl.models import Base

if TYPE_CHECKING:
    import datetime as dt

STATE = Base.metadata.tables["sync_state"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the last runs left for the next one."""

    watermark: dt.datetime | None = None
    date_filter: str | None = None
    granted_page_size: int | None = None
    client_ids: frozenset[int] = frozenset()
    last_full_at: dt.datetime | None = None


def read_state(connection: sa.Connection) -> State:
    """Read where the sync stands."""
    columns = [STATE.c[field.name] for field in dataclasses.fields(State)]
    row = connection.execute(sa.select(*columns)).mappings().one_or_none()
    if row is None:
        return State()
    return State(**{**row, "client_ids": frozenset(row["client_ids"] or ())})


def write_state(connection: sa.Connection, before: State, after: State) -> None:
    """Store what is new. The watermark only ever rises, whatever the caller computed."""
    changes: dict[str, Any] = {
        field.name: getattr(after, field.name)
        for field in dataclasses.fields(State)
        if getattr(after, field.name) != getattr(before, field.name)
    }
    if "client_ids" in changes:
        changes["client_ids"] = sorted(after.client_ids)
    if before.watermark is not None and (changes.get("watermark") or before.watermark) < before.watermark:
        del changes["watermark"]
    if changes:
        connection.execute(sa.update(STATE).values(changes))
