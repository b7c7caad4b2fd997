"""Reading a copy from Python as a user who may read its file, but not write it."""

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
    """Yield the URL of a world-readable copy of 50 tasks, in a world-readable or world-writable folder."""
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


def test_reading_frames_leaves_no_files(url):
    with as_user(STRANGER):
        assert len(frames.tasks(url)) == 50
        assert list(frames.view("task_daily", url)["tasks"]) == [50]
    assert names(url) == ["tasks.db", "tasks.db.lock"]


def test_chunks_are_one_snapshot_while_the_owner_writes(url):
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


def test_lock_file_of_another_user_is_reported_with_its_owner(url):
    """As left by a sync that ran as another user."""
    lock = file_of(url).with_name("tasks.db.lock")
    os.chown(lock, STRANGER, STRANGER)
    with (
        as_user(OWNER),
        pytest.raises(
            DatabaseError, match=f"belongs to uid {STRANGER} .mode 0600.: give it the owner and mode of"
        ) as caught,
        writing(url),
    ):
        pass
    assert caught.value.exit_code == 4


def test_lock_file_of_another_user_in_sticky_folder_is_refused(url):
    """Its owner could delete it while it is locked; the error names the sticky bit of the folder."""
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


def test_reader_sees_commits_of_an_active_writer(url):
    with as_user(OWNER), writing(url) as connection:
        with connection.begin():
            store_task(connection, "late")
        with as_user(STRANGER):
            assert len(frames.tasks(url)) == 51
    assert names(url) == ["tasks.db", "tasks.db.lock"]


def test_dry_run_leaves_no_files(url):
    with as_user(STRANGER), comparing(url) as connection:
        SeenTasks(connection).add(["task 001"])
        connection.commit()
        assert names(url) == ["tasks.db", "tasks.db.lock"]
