"""Records that could not be loaded, each stored once, with its text and the reason."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import sqlalchemy as sa

from etl.load.dialect import insert
from etl.models import REJECTED

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from etl.extract.payload import UnusableRecord


def reject(
    connection: sa.Connection,
    records: Iterable[UnusableRecord],
    *,
    run_id: int,
    received_at: dt.datetime,
) -> None:
    r"""
    Store records that are not stored yet.

    The text is stored unchanged, except that bytes that are not UTF-8, and U+0000, which Postgres cannot
    store, are written as `\xNN`.
    """
    rows = [
        {
            "run_id": run_id,
            "received_at": received_at,
            "reason": record.reason,
            "raw": record.raw.decode("utf-8", "backslashreplace").replace("\x00", "\\x00"),
            "raw_hash": raw_hash(record.raw),
        }
        for record in records
    ]
    if not rows:
        return
    statement = insert(connection, REJECTED).on_conflict_do_nothing(index_elements=["raw_hash"])
    connection.execute(statement, rows)


def raw_hash(raw: bytes) -> bytes:
    """Return 16 bytes that depend on the text alone, so that no release stores a record again."""
    return hashlib.blake2b(raw, digest_size=16, person=b"gcore-etl 1").digest()


def count_rejected(connection: sa.Connection) -> int:
    """Return the number of rejected records."""
    return connection.scalar(sa.select(sa.func.count()).select_from(REJECTED)) or 0
