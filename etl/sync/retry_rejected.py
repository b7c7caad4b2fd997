"""The rejected records, and a retry for those that this release can load."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from etl.extract.decode import decode_record
from etl.extract.payload import UnusableRecord
from etl.load.dialect import is_any_of
from etl.load.task_rows import Observation
from etl.load.upsert import upsert_tasks
from etl.models import REJECTED, TASKS
from etl.sync.state import add_present

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH = 500


@dataclasses.dataclass(slots=True)
class RetryOutcome:
    """The counts of a retry: `known` are records of tasks that are already stored."""

    loaded: int = 0
    known: int = 0
    still_rejected: int = 0


def iter_rejected(connection: sa.Connection, *, limit: int) -> Iterator[dict[str, Any]]:
    """Return an iterator over the latest rejected records, newest first, as dictionaries."""
    columns = [column for column in REJECTED.columns if column.name != "raw_hash"]
    query = sa.select(*columns).order_by(REJECTED.c.rejected_id.desc()).limit(limit)
    return (dict(row) for row in connection.execute(query).mappings())


def retry_rejected(connection: sa.Connection) -> RetryOutcome:
    """
    Decode every rejected record again, load those that can be loaded now, and keep the others.

    A record is loaded as seen at the time when it was received; of several records of one task, only the
    latest is loaded. The caller owns the transaction.
    """
    outcome = RetryOutcome()
    for batch in _iter_batches(connection):
        readable = [
            (row, record)
            for row in batch
            if not isinstance(record := decode_record(row.raw.encode()), UnusableRecord)
        ]
        is_read = is_any_of(connection, TASKS.c.task_id, [record.task_id for _, record in readable])
        stored = set(connection.scalars(sa.select(TASKS.c.task_id).where(is_read)))
        for row, record in readable:
            if record.task_id in stored:
                outcome.known += 1
                continue
            observation = Observation(run_id=row.run_id, observed_at=row.received_at)
            counts = upsert_tasks(connection, [record], observation)
            add_present(connection, counts.inserted)
            outcome.loaded += counts.inserted
            stored.add(record.task_id)
        done = [row.rejected_id for row, _ in readable]
        connection.execute(sa.delete(REJECTED).where(REJECTED.c.rejected_id.in_(done)))
        outcome.still_rejected += len(batch) - len(readable)
    return outcome


def _iter_batches(connection: sa.Connection) -> Iterator[list[sa.Row[Any]]]:
    """Yield all records, newest first."""
    query = sa.select(REJECTED).order_by(REJECTED.c.rejected_id.desc()).limit(BATCH)
    batch = list(connection.execute(query))
    while batch:
        yield batch
        batch = list(connection.execute(query.where(REJECTED.c.rejected_id < batch[-1].rejected_id)))
