"""A simple script: the vendor's SDK, and a SQLAlchemy upsert for each thousand tasks."""

from __future__ import annotations

import sys

import sqlalchemy as sa
from gcore import Gcore
from sqlalchemy.dialects import postgresql, sqlite

DATA = ("task_name", "url", "category", "audio_language", "subtitles_language", "stop_objects")
DATA += ("client_id", "client_user_id", "client_entity_data")
TIMES = ("started_at", "completed_at", "total_time_sec")
TYPES = {"progress": sa.Integer, "client_id": sa.BigInteger, "total_time_sec": sa.Double}
TASKS = sa.Table(
    "tasks",
    sa.MetaData(),
    sa.Column("task_id", sa.Text, primary_key=True),
    *(sa.Column(name, TYPES.get(name, sa.Text)) for name in ("status", "progress", *DATA, *TIMES)),
)


def main(url: str, database: str) -> None:
    """Copy all tasks."""
    client = Gcore(api_key="1$benchmark", base_url=url)
    engine = sa.create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    TASKS.metadata.create_all(engine)
    insert = (sqlite if engine.dialect.name == "sqlite" else postgresql).insert(TASKS)
    others = {column.name: insert.excluded[column.name] for column in TASKS.columns if not column.primary_key}
    upsert = insert.on_conflict_do_update(index_elements=["task_id"], set_=others)
    rows = []
    for task in client.streaming.ai_tasks.list(limit=1000):
        data, times = task.task_data, task.processing_time
        row = {"task_id": task.task_id, "status": task.status, "progress": task.progress}
        row |= {name: getattr(data, name, None) for name in DATA}
        rows.append(row | {name: getattr(times, name, None) for name in TIMES})
        if len(rows) == 1000:
            write(engine, upsert, rows)
            rows = []
    if rows:
        write(engine, upsert, rows)


def write(engine: sa.Engine, upsert: sa.Insert, rows: list[dict[str, object]]) -> None:
    """Write and commit a page."""
    with engine.begin() as connection:
        connection.execute(upsert, rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
