"""Records that cannot be loaded are rejected: stored once, with the text and the reason."""

from __future__ import annotations

import datetime as dt

import pytest
import sqlalchemy as sa

from etl.extract.payload import UnusableRecord
from etl.load.rejected_records import count_rejected, reject
from etl.models import REJECTED

NOON = dt.datetime(2026, 6, 26, 12, tzinfo=dt.UTC)


def a_record(raw: bytes, reason: str = "no task_id") -> UnusableRecord:
    return UnusableRecord(raw, reason)


def rejected(connection: sa.Connection, *columns: str) -> list[tuple]:
    found = sa.select(*(REJECTED.c[name] for name in columns)).order_by(REJECTED.c.rejected_id)
    return [tuple(row) for row in connection.execute(found)]


@pytest.mark.parametrize(
    "raw, text",
    [
        (b'{"status" : "SUCCESS"}', '{"status" : "SUCCESS"}'),
        ("käse 🎬\n\t\x01".encode(), "käse 🎬\n\t\x01"),
        (rb'"\u0000\ud800"', r'"\u0000\ud800"'),
        (b'"\x00"', r'"\x00"'),
        (b'"\xff\xed\xa0\x80"', r'"\xff\xed\xa0\x80"'),
        (b"", ""),
        (b"x" * 3_000_000, "x" * 3_000_000),
    ],
)
def test_raw_text_is_stored_unchanged(engine, raw, text):
    with engine.begin() as connection:
        reject(connection, [a_record(raw, "why")], run_id=3, received_at=NOON)
    with engine.connect() as connection:
        assert rejected(connection, "run_id", "received_at", "reason", "raw") == [(3, NOON, "why", text)]


def test_repeatedly_rejected_record_is_stored_once(engine):
    record = a_record(b'{"a":1}')
    with engine.begin() as connection:
        reject(connection, [record, record], run_id=1, received_at=NOON)
        later = NOON + dt.timedelta(days=1)
        reject(
            connection, [a_record(b'{"a":1}', "another reason"), a_record(b"5")], run_id=2, received_at=later
        )
        rows = rejected(connection, "run_id", "received_at", "reason", "raw")
        assert rows == [(1, NOON, "no task_id", '{"a":1}'), (2, later, "no task_id", "5")]
        assert count_rejected(connection) == 2


def test_record_rejected_by_another_release_is_not_stored_again(engine):
    """Its hash depends on the text alone, not on the fields that a release knows."""
    row = {"run_id": 1, "received_at": NOON, "reason": "no task_id", "raw": '{"a":1}'}
    raw_hash = bytes.fromhex("fa70f57acc1e3f8c0f5489b6d1e16cbf")
    with engine.begin() as connection:
        connection.execute(sa.insert(REJECTED).values(**row, raw_hash=raw_hash))
        reject(connection, [a_record(b'{"a":1}')], run_id=2, received_at=NOON)
        assert rejected(connection, "run_id") == [(1,)]


def test_records_are_deduplicated_by_bytes_not_text(engine):
    with engine.begin() as connection:
        reject(connection, [a_record(b"\xff"), a_record(rb"\xff")], run_id=1, received_at=NOON)
        assert rejected(connection, "raw") == [(r"\xff",), (r"\xff",)]


def test_rejecting_no_records_writes_nothing(engine):
    with engine.begin() as connection:
        reject(connection, iter(()), run_id=1, received_at=NOON)
        assert count_rejected(connection) == 0


def test_caller_owns_the_transaction(engine):
    with engine.connect() as connection:
        transaction = connection.begin()
        reject(connection, [a_record(b"5")], run_id=1, received_at=NOON)
        transaction.rollback()
        assert count_rejected(connection) == 0
