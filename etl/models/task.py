"""The current state of tasks, and its history: `tasks` is updated, `task_history` is append-only."""

import datetime as dt
from typing import Any, cast

from sqlalchemy import BigInteger, Index, MetaData, Table, false, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from etl.enums import TERMINAL_STATUSES
from etl.models.base import Base, BigSerial
from etl.models.fields import api_field, api_fields
from etl.models.result import Detection, Subtitle, TaskResult

# Queries use the same text: with bound parameters, no database recognises that the partial index matches.
_TERMINAL = ", ".join(f"'{status}'" for status in TERMINAL_STATUSES)
IN_FLIGHT = text(f"removed_at IS NULL AND coalesce(status, '') NOT IN ({_TERMINAL})")
RESULT_DUE = text("is_result_due")
DETAIL_DUE = text("detail_due_at IS NOT NULL")
# Not useful for analysis: omitted from frames and exports.
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


def _related(model: str, order_by: str | None = None) -> Any:  # noqa: ANN401
    """Return the relationship to rows with the same `task_id`: read-only, and without a foreign key."""
    return relationship(
        primaryjoin=f"Task.task_id == foreign({model}.task_id)",
        order_by=f"{model}.{order_by}" if order_by else False,
        viewonly=True,
    )


class TaskHistory(Base):
    """
    One row per history event: a discovery, a change of status or progress, a removal or a reappearance.

    Rows are never updated or deleted.
    """

    __tablename__ = "task_history"
    __table_args__ = (
        _only_on(
            "sqlite",
            # Covers the columns that the views read; reading rows from the table takes three times as long.
            Index(
                "ix_task_history_task_id",
                *("task_id", "history_id"),
                *("observed_at", "event", "status", "previous_status"),
            ),
        ),
        # Not covering: on Postgres, an index entry must fit into a third of a page, and a status may have any
        # length.
        _only_on("postgresql", Index(None, "task_id", "history_id")),
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


class Task(Base):
    """One row per task: its current state."""

    __tablename__ = "tasks"
    __table_args__ = (Index("ix_tasks_started_at", "started_at"), *_PARTIAL_INDEXES)

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
    # The task was created no earlier than the first and no later than the second. The one exception: if the
    # server's clock is behind the times of its tasks, the second may be too early (end of docs/promises.md).
    created_after: Mapped[dt.datetime | None]
    created_before: Mapped[dt.datetime | None]
    # Fields without a column of their own, and values that do not have the type of their column.
    extra: Mapped[dict[str, Any] | None]
    # Hash of the last loaded raw record, 16 bytes: an unchanged record need not be compared field by field.
    payload_hash: Mapped[bytes | None] = mapped_column(info=INTERNAL)
    first_seen_at: Mapped[dt.datetime]
    changed_at: Mapped[dt.datetime]
    removed_at: Mapped[dt.datetime | None]
    # The task is finished, and its result was not requested since. If the task ran again, or reappeared after
    # it was marked as removed, `task_results` may have an older row.
    is_result_due: Mapped[bool] = mapped_column(server_default=false())
    # Values by column that only a request by id returns, not the lists; the columns above include them.
    detail: Mapped[dict[str, Any] | None] = mapped_column(info=INTERNAL)
    # When to request the task by id, if no list has shown its times.
    detail_due_at: Mapped[dt.datetime | None] = mapped_column(info=INTERNAL)

    result: Mapped[TaskResult | None] = _related("TaskResult")
    history: Mapped[list[TaskHistory]] = _related("TaskHistory", order_by="history_id")
    subtitles: Mapped[list[Subtitle]] = _related("Subtitle", order_by="position")
    detections: Mapped[list[Detection]] = _related("Detection", order_by="position")


TASKS = cast("Table", Task.__table__)
HISTORY = cast("Table", TaskHistory.__table__)
API_FIELDS = api_fields(TASKS)


def metadata_with_conditions() -> MetaData:
    """
    Return the metadata with the conditions of partial indexes set for Postgres as well.

    Setting them loads the Postgres dialect, which takes as long as a few requests, so only code that creates
    or compares a schema does it.
    """
    for index in _PARTIAL_INDEXES:
        index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]
    return Base.metadata
