"""Somebody who may read the file of a copy, and not write it, from Python."""

from __future__ import annotations

import os

import pandas as pd
import pytest
from support.absent import give_up
from support.databases import migrate
from support.sandbox import OWNER, STRANGER, as_user, missing, shared_folder
from support.stored import store_task

from etl import frames
from etl.database import file_of
from etl.sync.session import writing


@pytest.fixture(params=[0o755, 0o777])
def url(request):
    """Name a copy of 50 tasks that everybody may read, in a folder that everybody may read, or write."""
    reason = missing()
    if reason is not None:
        give_up(reason)
    with shared_folder() as folder:
        url = f"sqlite:///{folder}/tasks.db"
        migrate(url)
        add(url, range(50))
        frames.tasks(url)  # loads what another user may not be able to
        for path in (folder, *folder.iterdir()):
            os.chown(path, OWNER, OWNER)
        folder.chmod(request.param)
        (folder / "tasks.db").chmod(0o644)
        yield url


def add(url, numbers):
    with writing(url) as connection, connection.begin():
        for number in numbers:
            store_task(connection, f"task {number:03}", status="SUCCESS")


def names(url):
    return sorted(path.name for path in file_of(url).parent.iterdir())


def test_a_frame_is_read_and_nothing_is_left(url):
    with as_user(STRANGER):
        assert len(frames.tasks(url)) == 50
        assert list(frames.view("task_daily", url)["tasks"]) == [50]
    assert names(url) == ["tasks.db", "tasks.db.lock"]


def test_chunks_are_of_one_instant_while_the_owner_writes(url):
    with as_user(STRANGER):
        chunks = frames.tasks(url, chunksize=10)
        first = next(chunks)
    with as_user(OWNER):
        add(url, range(50, 1000))
    with as_user(STRANGER):
        whole = pd.concat([first, *chunks])
        assert len(whole) == 50
        assert len(frames.tasks(url)) == 1000
    assert names(url) == ["tasks.db", "tasks.db-shm", "tasks.db-wal", "tasks.db.lock"]
    with as_user(OWNER):
        add(url, [1000])
    assert names(url) == ["tasks.db", "tasks.db.lock"]
