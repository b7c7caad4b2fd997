"""What a finished task found: kept here for good, because the API deletes it after a month."""

import datetime as dt
from typing import Any

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from etl.models.base import Base, BigSerial, Json


class TaskResult(Base):
    """One row a task in SUCCESS or FAILURE: its result, or how far we are from having it."""

    __tablename__ = "task_results"
    __table_args__ = (Index("ix_task_results_state", "state", "next_attempt_at"),)

    task_id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]  # archived, unavailable, expired
    kind: Mapped[str | None]
    result: Mapped[Any | None] = mapped_column(Json)
    detected: Mapped[bool | None]
    speech_detected: Mapped[bool | None]
    languages: Mapped[list[Any] | None] = mapped_column(Json)
    text: Mapped[str | None]
    vtt: Mapped[str | None]
    error: Mapped[str | None]
    fetched_at: Mapped[dt.datetime | None]
    attempts: Mapped[int] = mapped_column(server_default="0")
    next_attempt_at: Mapped[dt.datetime | None]


class Subtitle(Base):
    """One row a subtitle of a transcription, in the order of the result."""

    __tablename__ = "subtitles"

    task_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    start_seconds: Mapped[float | None]
    end_seconds: Mapped[float | None]
    text: Mapped[str | None]


class TranscriptPart(Base):
    """
    One row a part of a transcript that can be searched; its words are in `transcript_words`, under `part_id`.

    That table is an FTS5 index on SQLite, and one with a tsvector on Postgres: neither is described here, the
    migration makes it.
    """

    __tablename__ = "transcript_parts"
    __table_args__ = (Index("ix_transcript_parts_task_id", "task_id"),)

    part_id: Mapped[int] = mapped_column(BigSerial, primary_key=True, autoincrement=False)
    task_id: Mapped[str]
    # The first subtitle in it; null where the transcript has none, and is one text.
    first_position: Mapped[int | None]


class Detection(Base):
    """One row a frame in which a moderation found something, in the order of the result."""

    __tablename__ = "detections"

    task_id: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    frame_number: Mapped[int | None]
    label: Mapped[str | None]
    confidence: Mapped[float | None]
