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
from etl.errors import DatabaseError
from etl.load.removals import SeenTasks
from etl.sync.api import comparing, writing


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


def test_a_lock_file_of_somebody_elses_is_named_with_its_owner(url):
    """As a sync leaves it that was once run as another user."""
    lock = file_of(url).with_name("tasks.db.lock")
    os.chown(lock, STRANGER, STRANGER)
    with (
        as_user(OWNER),
        pytest.raises(
            DatabaseError, match=f"belongs to uid {STRANGER} .mode 0600.: give it those of"
        ) as caught,
        writing(url),
    ):
        pass
    assert caught.value.exit_code == 4


def test_in_a_sticky_folder_a_lock_file_of_somebody_elses_is_refused(url):
    """Its owner could take it away while it is held; which the line says is the folder's doing."""
    folder = file_of(url).parent
    lock = folder / "tasks.db.lock"
    os.chown(lock, STRANGER, STRANGER)
    lock.chmod(0o666)
    os.chown(folder, 0, 0)
    folder.chmod(0o1777)
    with (
        as_user(OWNER),
        pytest.raises(DatabaseError, match=f"clear the sticky bit of {folder}"),
        writing(url),
    ):
        pass


def test_a_reader_sees_the_changes_of_a_writer_that_is_at_work(url):
    with as_user(OWNER), writing(url) as connection:
        with connection.begin():
            store_task(connection, "late")
        with as_user(STRANGER):
            assert len(frames.tasks(url)) == 51
    assert names(url) == ["tasks.db", "tasks.db.lock"]


def test_a_dry_run_compares_and_leaves_nothing(url):
    with as_user(STRANGER), comparing(url) as connection:
        SeenTasks(connection).add(["task 001"])
        connection.commit()
        assert names(url) == ["tasks.db", "tasks.db.lock"]
