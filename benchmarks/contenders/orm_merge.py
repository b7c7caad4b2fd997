"""A script as in a tutorial: httpx, page by page, and `Session.merge` for each task."""

from __future__ import annotations

import sys
from typing import Any

import httpx
from sqlalchemy import BigInteger, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

PAGE = 1000


class Base(DeclarativeBase):
    """The declarative base."""


class Task(Base):
    """One task."""

    __tablename__ = "tasks"
    task_id: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str | None]
    progress: Mapped[int | None]
    task_name: Mapped[str | None]
    url: Mapped[str | None]
    category: Mapped[str | None]
    audio_language: Mapped[str | None]
    subtitles_language: Mapped[str | None]
    stop_objects: Mapped[str | None]
    client_id: Mapped[int | None] = mapped_column(BigInteger)
    client_user_id: Mapped[str | None]
    client_entity_data: Mapped[str | None]
    started_at: Mapped[str | None]
    completed_at: Mapped[str | None]
    total_time_sec: Mapped[float | None]


def task_of(record: dict[str, Any]) -> Task:
    """Return the columns of a record."""
    values = {**record["task_data"], **record["processing_time"], **record}
    return Task(**{column.name: values.get(column.name) for column in Task.__table__.columns})


def main(url: str, database: str) -> None:
    """Copy all tasks."""
    engine = create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    Base.metadata.create_all(engine)
    headers = {"Authorization": "APIKey 1$benchmark"}
    with httpx.Client(base_url=url, headers=headers) as client:
        page = 1
        while True:
            answer = client.get("/streaming/ai/tasks", params={"page": page, "limit": PAGE}).json()
            with Session(engine) as session, session.begin():
                for record in answer["results"]:
                    session.merge(task_of(record))
            if answer["next"] is None:
                return
            page += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
