"""What a finished task found: kept here for good, because the API deletes it after a month."""

from sqlalchemy import Boolean, Column, Double, Index, Integer, Table, Text

from etl.models.base import METADATA, BigSerial, Json, UtcDateTime

RESULTS = Table(
    "task_results",
    METADATA,
    Column("task_id", Text, primary_key=True),
    Column("state", Text, nullable=False),  # archived, unavailable, expired
    Column("kind", Text),
    Column("result", Json),
    Column("detected", Boolean),
    Column("speech_detected", Boolean),
    Column("languages", Json),
    Column("text", Text),
    Column("vtt", Text),
    Column("error", Text),
    Column("fetched_at", UtcDateTime),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("next_attempt_at", UtcDateTime),
    # Of the attempts, those that failed: neither a result nor the statement that there is none.
    Column("failures", Integer, nullable=False, server_default="0"),
    Index("ix_task_results_state", "state", "next_attempt_at"),
    info={"comment": "One row a task in SUCCESS or FAILURE: its result, or how far we are from having it."},
)

SUBTITLES = Table(
    "subtitles",
    METADATA,
    Column("task_id", Text, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("start_seconds", Double),
    Column("end_seconds", Double),
    Column("text", Text),
    info={"comment": "One row a subtitle of a transcription, in the order of the result."},
)

# The table of the words is an FTS5 index on SQLite, and one with a tsvector on Postgres: it is not described
# here, the migration makes it.
PARTS = Table(
    "transcript_parts",
    METADATA,
    Column("part_id", BigSerial, primary_key=True, autoincrement=False),
    Column("task_id", Text, nullable=False),
    # The first subtitle in it; null where the transcript has none, and is one text.
    Column("first_position", Integer),
    Index("ix_transcript_parts_task_id", "task_id"),
    info={
        "comment": (
            "One row a part of a transcript that can be searched; its words are in `transcript_words`, "
            "under `part_id`.\n\n"
            "That table is an FTS5 index on SQLite, and one with a tsvector on Postgres: neither is "
            "described here, the\nmigration makes it."
        )
    },
)

DETECTIONS = Table(
    "detections",
    METADATA,
    Column("task_id", Text, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("frame_number", Integer),
    Column("label", Text),
    Column("confidence", Double),
    info={"comment": "One row a frame in which a moderation found something, in the order of the result."},
)
