"""The models, as users with a Session read them; and that a field of the API is declared once."""

from __future__ import annotations

import datetime as dt
import json

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, configure_mappers, selectinload
from support.worlds import a_world, settings_for

from etl.database import open_engine
from etl.emulator import serve
from etl.extract.decode import decode_task
from etl.models import API_FIELDS, FieldKind, SyncRun, Task, TaskStatus
from etl.models.base import Base
from etl.sync.api import run_sync


@pytest.fixture
def session(database_url):
    with serve(a_world(60)) as emulator:
        run_sync(settings_for(emulator, database_url))
    engine = open_engine(database_url, read_only=True)
    with Session(engine) as session:
        yield session
    engine.dispose()


def test_session_loads_tasks_with_related_rows(session):
    tasks = session.scalars(
        sa.select(Task).where(Task.status == TaskStatus.SUCCESS).order_by(Task.task_id)
    ).all()
    assert tasks
    for task in tasks:
        assert task.result is not None
        assert task.result.task_id == task.task_id
        assert task.history[0].event == "discovered"
        assert isinstance(task.first_seen_at, dt.datetime)
        assert task.first_seen_at.tzinfo is dt.UTC
    transcribed = next(task for task in tasks if task.subtitles)
    assert [each.position for each in transcribed.subtitles] == list(range(len(transcribed.subtitles)))
    moderated = next(task for task in tasks if task.detections)
    assert {each.task_id for each in moderated.detections} == {moderated.task_id}


def test_relationships_can_be_loaded_eagerly_and_joined(session):
    failed = sa.select(Task).where(Task.status == TaskStatus.FAILURE).options(selectinload(Task.result))
    assert all(task.result and task.result.error for task in session.scalars(failed))
    joined = sa.select(Task.task_id).join(Task.result).where(Task.status == TaskStatus.FAILURE)
    assert sorted(session.scalars(joined)) == sorted(task.task_id for task in session.scalars(failed))
    assert session.scalars(sa.select(SyncRun)).one().status == "succeeded"


def test_tables_have_no_foreign_keys():
    configure_mappers()
    assert not [key for table in Base.metadata.tables.values() for key in table.foreign_keys]
    assert all(each.viewonly for mapper in Base.registry.mappers for each in mapper.relationships)


def test_each_field_of_the_api_is_decoded():
    """A field is declared in the model; its only other place is the migration that adds the column."""
    record = {"task_id": "t", "task_data": {}, "processing_time": {}}
    samples = {
        FieldKind.TEXT: "text",
        FieldKind.SMALL_INTEGER: 7,
        FieldKind.INTEGER: 1 << 40,
        FieldKind.NUMBER: 1.5,
        FieldKind.BOOLEAN: True,
        FieldKind.INSTANT: "2026-06-26T16:26:29Z",
    }
    for field in API_FIELDS:
        if field.kind in samples:
            place = record if field.parent is None else record[field.parent]
            place[field.name] = samples[field.kind]
    payload = decode_task(json.dumps(record).encode())
    values = payload.as_dict()
    assert values.pop("extra") is None
    assert all(value is not None for value in values.values()), values
    assert set(values) == {field.name for field in API_FIELDS}
