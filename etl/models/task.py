"""What a task is now, and what it was: `tasks` is overwritten, `task_history` only grows."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    false,
    text,
)

from etl.models.base import METADATA, BigSerial, Json, UtcDateTime

TERMINAL_STATUSES = ("FAILURE", "REVOKED", "SUCCESS")
# A cancelled task has none.
STATUSES_WITH_RESULT = ("FAILURE", "SUCCESS")

# Queries use this very text: from bound parameters no database can tell that the index below answers them.
IN_FLIGHT = text("removed_at IS NULL AND coalesce(status, '') NOT IN ('FAILURE', 'REVOKED', 'SUCCESS')")

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


TASKS = Table(
    "tasks",
    METADATA,
    Column("task_id", Text, primary_key=True),
    Column("task_name", Text),
    Column("status", Text),
    Column("progress", Integer),
    Column("url", Text),
    Column("category", Text),
    Column("audio_language", Text),
    Column("subtitles_language", Text),
    Column("stop_objects", Text),
    Column("client_id", BigInteger),
    Column("client_user_id", Text),
    Column("client_entity_data", Text),
    Column("task_data", Json),
    Column("started_at", UtcDateTime),
    Column("completed_at", UtcDateTime),
    Column("total_time_sec", Double),
    Column("date_created", UtcDateTime),
    # Bounds that hold: the task was not there before the one, and was there by the other.
    Column("created_after", UtcDateTime),
    Column("created_before", UtcDateTime),
    Column("extra", Json),
    # Of the raw record last loaded, 16 bytes: one that has not changed need not be compared field by field.
    Column("payload_hash", LargeBinary, info=INTERNAL),
    Column("first_seen_at", UtcDateTime, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("removed_at", UtcDateTime),
    # Finished, and nobody has asked for its result yet: `task_results` has no row of it.
    Column("is_result_due", Boolean, nullable=False, server_default=false()),
    # What only the task's own page says and lists leave out, by column; the columns above include it.
    Column("detail", Json, info=INTERNAL),
    # When to ask for the task's own page, where no list ever showed its times.
    Column("detail_due_at", UtcDateTime, info=INTERNAL),
    Index("ix_tasks_started_at", "started_at"),
    *_PARTIAL_INDEXES,
    info={"comment": "One row a task: its present state."},
)

HISTORY = Table(
    "task_history",
    METADATA,
    Column("history_id", BigSerial, primary_key=True),
    Column("task_id", Text, nullable=False),
    Column("run_id", Integer, nullable=False),
    Column("observed_at", UtcDateTime, nullable=False),
    Column("event", Text, nullable=False),  # discovered, changed, removed, reappeared
    Column("status", Text),
    Column("progress", Integer),
    Column("previous_status", Text),
    Column("previous_progress", Integer),
    _only_on(
        "sqlite",
        # It covers what the views read: fetching each row from the table takes them three times as long.
        Index(
            "ix_task_history_task_id",
            *("task_id", "history_id"),
            *("observed_at", "event", "status", "previous_status"),
        ),
    ),
    # Not here: an index entry of Postgres must fit into a third of a page, and a status may be of any length.
    _only_on("postgresql", Index(None, "task_id", "history_id")),
    info={
        "comment": (
            "One row for each change of status or progress, and for coming and going; "
            "never updated or deleted."
        )
    },
)


def metadata_with_conditions() -> MetaData:
    """
    Give the metadata with the conditions of partial indexes in the words of Postgres as well.

    To name that dialect loads it, which takes as long as a few requests: only whoever makes or compares a
    schema waits for it.
    """
    for index in _PARTIAL_INDEXES:
        index.dialect_options["postgresql"]["where"] = index.dialect_options["sqlite"]["where"]
    return METADATA
