"""The results of finished tasks, kept permanently, because the API deletes them after a month."""

import datetime as dt
from typing import Any, cast

from sqlalchemy import Index, Table
from sqlalchemy.orm import Mapped, mapped_column

from etl.models.base import Base, BigSerial, Json


class TaskResult(Base):
    """One row per task whose result was requested: the result, or the attempts to fetch it."""

    __tablename__ = "task_results"
    __table_args__ = (Index("ix_task_results_state", "state", "next_attempt_at"),)

    task_id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]  # ResultState
    kind: Mapped[str | None]
    result: Mapped[Any | None] = mapped_column(Json)
    detected: Mapped[bool | None]
    speech_detected: Mapped[bool | None]
    languages: Mapped[list[Any] | None]
    text: Mapped[str | None]
    vtt: Mapped[str | None]
    error: Mapped[str | None]
    fetched_at: Mapped[dt.datetime | None]
    attempts: Mapped[int] = mapped_column(server_default="0")
    next_attempt_at: Mapped[dt.datetime | None]
    # The failed attempts: those that returned neither a result nor the information that there is none.
    failures: Mapped[int] = mapped_column(server_default="0")


class Subtitle(Base):
    """One row per subtitle of a transcription, in the order of the result."""

    __tablename__ = "subtitles"

    task_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    start_seconds: Mapped[float | None]
    end_seconds: Mapped[float | None]
    text: Mapped[str | None]


class TranscriptPart(Base):
    """
    One row per searchable part of a transcript; its words are in `transcript_words`, under `part_id`.

    That table is an FTS5 index on SQLite, and has a tsvector column on Postgres; a migration creates it.
    """

    __tablename__ = "transcript_parts"
    __table_args__ = (Index("ix_transcript_parts_task_id", "task_id"),)

    part_id: Mapped[int] = mapped_column(BigSerial, primary_key=True, autoincrement=False)
    task_id: Mapped[str]
    # Its first subtitle; null if the transcript is plain text without subtitles.
    first_position: Mapped[int | None]


class Detection(Base):
    """One row per detection of content moderation: a video frame and a label."""

    __tablename__ = "detections"

    task_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    frame_number: Mapped[int | None]
    label: Mapped[str | None]
    confidence: Mapped[float | None]


RESULTS = cast("Table", TaskResult.__table__)
SUBTITLES = cast("Table", Subtitle.__table__)
PARTS = cast("Table", TranscriptPart.__table__)
DETECTIONS = cast("Table", Detection.__table__)
