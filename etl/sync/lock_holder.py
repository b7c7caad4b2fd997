"""The process that holds the writer's lock, and the message about it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt


@dataclasses.dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds the lock, as far as it is known."""

    process: str | None
    host: str | None
    since: dt.datetime | None


def busy_message(holder: Holder | None) -> str:
    """Return the message that names the writer, as far as it is known, and what to do."""
    known = []
    if holder is not None:
        process = f"process {holder.process}" if holder.process else None
        host = f"on {holder.host}" if holder.host else None
        where = " ".join(filter(None, (process, host)))
        since = f"since {holder.since:%Y-%m-%d %H:%M:%S} UTC" if holder.since else None
        known = list(filter(None, (where, since)))
    described = f" ({', '.join(known)})" if known else ""
    return f"another sync is writing to this database{described}: wait for it to finish, or use --wait"
