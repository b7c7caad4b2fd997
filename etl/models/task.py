"""What a task is now, and what it was: `tasks` is overwritten, `task_history` only grows."""

from __future__ import annotations

import datetime as dt
from typing import Any, cast

from sqlalchemy import BigInteger, Index, MetaData, Table, false, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from etl.enums import TERMINAL_STATUSES
from etl.models.base import Base, BigSerial
from etl.models.fields import api_field, api_fields
from etl.models.result import Detection, Subtitle, TaskResult

# Queries use this very text: from bound parameters no database can tell that the index below answers them.
_TERMINAL = ", ".join(f"'{status}'" for status in TERMINAL_STATUSES)
IN_FLIGHT = text(f"removed_at IS NULL AND coalesce(status, '') NOT IN ({_TERMINAL})")
RESULT_DUE = text("is_result_due")
DETAIL_DUE = text("detail_due_at IS NOT NULL")
# Of no use to an analyst: left out of frames and exports.
INTERNAL = {"is_internal": True}

_PARTIAL_INDEXES = (
    Index("ix_tasks_in_flight", "task_id", sqlite_where=IN_FLIGHT),
    Index("ix_tasks_result_due", "completed_at", sqlite_where=RESULT_DUE),
    Index("ix_tasks_detail_due", "detail_due_at", sqlite_where=DETAIL_DUE),
)


def _only_on(dialect: str, index: Index) -> Index:
    """Restrict an index to one database; the schema check reads `info`."""
    index.info["dialect"] = dialect
    return index.ddl_if(dialect=dialect)


class Task(Base):
    """
    One row per task: its present state.

    `result`, `history`, `subtitles` and `detections` are for reading; no foreign key stands behind them.
    """

    __tablename__ = "tasks"
    __table_args__ = (
        Index("ix_tasks_started_at", "started_at"),
        *_PARTIAL_INDEXES,
        {"info": {"comment": "One row per task: its present state."}},
    )

    task_id: Mapped[str] = mapped_column(primary_key=True)
    task_name: Mapped[str | None] = api_field(fallbacks=("task_data.task_name",))
    status: Mapped[str | None] = api_field()
    progress: Mapped[int | None] = api_field()
    url: Mapped[str | None] = api_field("task_data")
    category: Mapped[str | None] = api_field("task_data")
    audio_language: Mapped[str | None] = api_field("task_data")
    subtitles_language: Mapped[str | None] = api_field("task_data")
    stop_objects: Mapped[str | None] = api_field("task_data")
    client_id: Mapped[int | None] = api_field("task_data", type_=BigInteger())
    client_user_id: Mapped[str | None] = api_field("task_data")
    client_entity_data: Mapped[str | None] = api_field("task_data")
    task_data: Mapped[dict[str, Any] | None] = api_field()
    started_at: Mapped[dt.datetime | None] = api_field("processing_time")
    completed_at: Mapped[dt.datetime | None] = api_field("processing_time")
    total_time_sec: Mapped[float | None] = api_field("processing_time")
    date_created: Mapped[dt.datetime | None] = api_field(fallbacks=("created_at", "created"))
    # Bounds that hold: the task was not there before the one, and was there by the other.
    created_after: Mapped[dt.datetime | None]
    created_before: Mapped[dt.datetime | None]
    # What has no column of its own, or could not be read as the type of its column.
    extra: Mapped[dict[str, Any] | None]
    # Of the raw record last loaded, 16 bytes: one that has not changed need not be compared field by field.
    payload_hash: Mapped[bytes | None] = mapped_column(info=INTERNAL)
    first_seen_at: Mapped[dt.datetime]
    changed_at: Mapped[dt.datetime]
    removed_at: Mapped[dt.datetime | None]
    # Finished, and its result was not requested yet: `task_results` has no row of it.
    is_result_due: Mapped[bool] = mapped_column(server_default=false())
    # What only the task's own page says and lists leave out, by column; the columns above include it.
    detail: Mapped[dict[str, Any] | None] = mapped_column(info=INTERNAL)
    # When to ask for the task's own page, where no list ever showed its times.
    detail_due_at: Mapped[dt.datetime | None] = mapped_column(info=INTERNAL)

    result: Mapped[TaskResult | None] = relationship(
        primaryjoin="Task.task_id == foreign(TaskResult.task_id)", viewonly=True
    )
    history: Mapped[list[TaskHistory]] = relationship(
        primaryjoin="Task.task_id == foreign(TaskHistory.task_id)",
        order_by="TaskHistory.history_id",
        viewonly=True,
    )
    subtitles: Mapped[list[Subtitle]] = relationship(
        primaryjoin="Task.task_id == foreign(Subtitle.task_id)",
        order_by="Subtitle.position",
        viewonly=True,
    )
    detections: Mapped[list[Detection]] = relationship(
        primaryjoin="Task.task_id == foreign(Detection.task_id)",
        order_by="Detection.position",
        viewonly=True,
    )


class TaskHistory(Base):
    """One row per history event: a change of status or progress, a removal, a reappearance."""

    __tablename__ = "task_history"
    __table_args__ = (
        _only_on(
            "sqlite",
            # It covers what the views read: fetching each row from the table takes them three times as long.
            Index(
                "ix_task_history_task_id",
                *("task_id", "history_id"),
                *("observed_at", "event", "status", "previous_status"),
            ),
        ),
        # Not here: an index entry of Postgres must fit into a third of a page, and a status may be of any
        # length.
        _only_on("postgresql", Index(None, "task_id", "history_id")),
        {
            "info": {
                "comment": (
                    "One row per history event: a change of status or progress, a removal, a reappearance; "
                    "never updated or deleted."
                )
            }
        },
    )

    history_id: Mapped[int] = mapped_column(BigSerial, primary_key=True)
    task_id: Mapped[str]
    run_id: Mapped[int]
    observed_at: Mapped[dt.datetime]
    event: Mapped[str]  # HistoryEvent
    status: Mapped[str | None]
    progress: Mapped[int | None]
    previous_status: Mapped[str | None]
    previous_progress: Mapped[int | None]


TASKS = cast("Table", Task.__table__)
HISTORY = cast("Table", TaskHistory.__table__)
API_FIELDS = api_fields(TASKS)


def metadata_with_conditions() -> MetaData:
    """
    Return the metadata with the conditions of partial indexes in the words of Postgres as well.

    To name that dialect loads it, which takes as long as a few requests: only code that creates or compares a
    schema waits for it.
    """
    for index in _PARTIAL_INDEXES:
        index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]
    return Base.metadata
