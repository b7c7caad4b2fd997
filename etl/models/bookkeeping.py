"""The sync's own records: its runs, its state, and rejected records."""

import datetime as dt
from typing import Any, cast

from sqlalchemy import CheckConstraint, Table, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from etl.models.base import Base, Json


def _counter() -> Any:  # noqa: ANN401
    return mapped_column(server_default="0")


class SyncRun(Base):
    """One row per run: inserted when it starts, closed when it ends."""

    __tablename__ = "sync_runs"

    run_id: Mapped[int] = mapped_column(primary_key=True)
    started_at: Mapped[dt.datetime]
    finished_at: Mapped[dt.datetime | None]
    mode: Mapped[str]  # RunMode
    status: Mapped[str]  # RunStatus
    requests: Mapped[int] = _counter()
    pages: Mapped[int] = _counter()
    tasks_seen: Mapped[int] = _counter()
    inserted: Mapped[int] = _counter()
    updated: Mapped[int] = _counter()
    unchanged: Mapped[int] = _counter()
    removed: Mapped[int] = _counter()
    results_archived: Mapped[int] = _counter()
    rejected: Mapped[int] = _counter()
    watermark_before: Mapped[dt.datetime | None]
    watermark_after: Mapped[dt.datetime | None]
    error: Mapped[str | None]
    version: Mapped[str | None]


class SyncStateRow(Base):
    """The state that one run leaves for the next: exactly one row."""

    __tablename__ = "sync_state"
    # A migration inserts the row.
    __table_args__ = (CheckConstraint("state_id = 1", name="one_row"),)

    state_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, server_default="1")
    watermark: Mapped[dt.datetime | None]
    date_filter: Mapped[str | None]
    date_filter_checked_at: Mapped[dt.datetime | None]
    granted_page_size: Mapped[int | None]
    client_ids: Mapped[list[int] | None] = mapped_column(Json)
    last_full_at: Mapped[dt.datetime | None]
    # Rows of `tasks` with no `removed_at`, kept up to date so that no run has to count them.
    present_tasks: Mapped[int] = mapped_column(server_default="0")
    # The starting values of the count audit: see etl/sync/count_audit.py. A negative surplus is unknown.
    count_bias: Mapped[int] = mapped_column(server_default="0")
    surplus: Mapped[int] = mapped_column(server_default="0")
    # The version of the tokenizer with which all transcripts are indexed: see etl/load/tokenizer.py.
    words_version: Mapped[int] = mapped_column(server_default="0")
    # This machine's time when the server's clock read `watermark`.
    watermark_set_at: Mapped[dt.datetime | None]
    # The largest page that the server accepts, if it has refused a larger one.
    max_page_size: Mapped[int | None]


class RejectedRecord(Base):
    """One row per record that could not be loaded, even if it was received repeatedly."""

    __tablename__ = "rejected_records"
    __table_args__ = (UniqueConstraint("raw_hash"),)

    rejected_id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int]
    received_at: Mapped[dt.datetime]
    reason: Mapped[str]
    raw: Mapped[str]
    raw_hash: Mapped[bytes]  # 16 bytes


RUNS = cast("Table", SyncRun.__table__)
STATE = cast("Table", SyncStateRow.__table__)
REJECTED = cast("Table", RejectedRecord.__table__)
