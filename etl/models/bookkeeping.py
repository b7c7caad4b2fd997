"""What the sync knows of itself: its runs, where it stands, and what it had to set aside."""

import datetime as dt

from sqlalchemy import CheckConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from etl.models.base import Base, Json


class SyncRun(Base):
    """One row a run: written when it starts, closed when it ends."""

    __tablename__ = "sync_runs"

    run_id: Mapped[int] = mapped_column(primary_key=True)
    started_at: Mapped[dt.datetime]
    finished_at: Mapped[dt.datetime | None]
    mode: Mapped[str]  # incremental, full, since, partial
    status: Mapped[str]  # running, succeeded, failed, interrupted
    requests: Mapped[int] = mapped_column(server_default="0")
    pages: Mapped[int] = mapped_column(server_default="0")
    tasks_seen: Mapped[int] = mapped_column(server_default="0")
    inserted: Mapped[int] = mapped_column(server_default="0")
    updated: Mapped[int] = mapped_column(server_default="0")
    unchanged: Mapped[int] = mapped_column(server_default="0")
    removed: Mapped[int] = mapped_column(server_default="0")
    results_archived: Mapped[int] = mapped_column(server_default="0")
    rejected: Mapped[int] = mapped_column(server_default="0")
    watermark_before: Mapped[dt.datetime | None]
    watermark_after: Mapped[dt.datetime | None]
    error: Mapped[str | None]
    version: Mapped[str | None]


class SyncState(Base):
    """Where the sync stands: exactly one row, which the migration puts there."""

    __tablename__ = "sync_state"
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
    # What the count audit starts from: see etl/sync/balance.py.
    count_bias: Mapped[int] = mapped_column(server_default="0")
    surplus: Mapped[int] = mapped_column(server_default="0")
    # By which way of cutting words all transcripts can be searched: see etl/load/words.py.
    words_version: Mapped[int] = mapped_column(server_default="0")


class RejectedRecord(Base):
    """One row a record that could not be loaded, once however often it was seen."""

    __tablename__ = "rejected_records"
    __table_args__ = (UniqueConstraint("raw_hash"),)

    rejected_id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int]
    received_at: Mapped[dt.datetime]
    reason: Mapped[str]
    raw: Mapped[str]
    raw_hash: Mapped[bytes]  # 16 bytes
