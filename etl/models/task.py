"""What a task is now, and what it was: `tasks` is overwritten, `task_history` only grows."""

import datetime as dt
from typing import Any

from sqlalchemy import BigInteger, Index, false, text
from sqlalchemy.orm import Mapped, mapped_column

from etl.models.base import Base, BigSerial, Json

TERMINAL_STATUSES = ("FAILURE", "REVOKED", "SUCCESS")
# A cancelled task has none.
STATUSES_WITH_RESULT = ("FAILURE", "SUCCESS")

# Queries use this very text: from bound parameters no database can tell that the index below answers them.
IN_FLIGHT = text("removed_at IS NULL AND coalesce(status, '') NOT IN ('FAILURE', 'REVOKED', 'SUCCESS')")

RESULT_DUE = text("is_result_due")


class Task(Base):
    """One row a task: its present state."""

    __tablename__ = "tasks"
    __table_args__ = (
        Index("ix_tasks_in_flight", "task_id", sqlite_where=IN_FLIGHT, postgresql_where=IN_FLIGHT),
        Index("ix_tasks_started_at", "started_at"),
        Index("ix_tasks_result_due", "completed_at", sqlite_where=RESULT_DUE, postgresql_where=RESULT_DUE),
    )

    task_id: Mapped[str] = mapped_column(primary_key=True)
    task_name: Mapped[str | None]
    status: Mapped[str | None]
    progress: Mapped[int | None]
    url: Mapped[str | None]
    category: Mapped[str | None]
    audio_language: Mapped[str | None]
    subtitles_language: Mapped[str | None]
    stop_objects: Mapped[str | None]
    client_id: Mapped[int | None] = mapped_column(BigInteger)
    client_user_id: Mapped[str | None]
    client_entity_data: Mapped[str | None]
    task_data: Mapped[dict[str, Any] | None] = mapped_column(Json)
    started_at: Mapped[dt.datetime | None]
    completed_at: Mapped[dt.datetime | None]
    total_time_sec: Mapped[float | None]
    date_created: Mapped[dt.datetime | None]
    # Bounds that hold: the task was not there before the one, and was there by the other.
    created_after: Mapped[dt.datetime | None]
    created_before: Mapped[dt.datetime | None]
    extra: Mapped[dict[str, Any] | None] = mapped_column(Json)
    # Of the raw record last loaded, 16 bytes: one that has not changed need not be compared field by field.
    payload_hash: Mapped[bytes | None]
    first_seen_at: Mapped[dt.datetime]
    changed_at: Mapped[dt.datetime]
    removed_at: Mapped[dt.datetime | None]
    # Finished, and nobody has asked for its result yet: `task_results` has no row of it.
    is_result_due: Mapped[bool] = mapped_column(server_default=false())


class TaskHistory(Base):
    """One row for each change of status or progress, and for coming and going; never updated or deleted."""

    __tablename__ = "task_history"
    __table_args__ = (Index("ix_task_history_task_id", "task_id", "history_id"),)

    history_id: Mapped[int] = mapped_column(BigSerial, primary_key=True)
    task_id: Mapped[str]
    run_id: Mapped[int]
    observed_at: Mapped[dt.datetime]
    event: Mapped[str]  # discovered, changed, removed, reappeared
    status: Mapped[str | None]
    progress: Mapped[int | None]
    previous_status: Mapped[str | None]
    previous_progress: Mapped[int | None]
