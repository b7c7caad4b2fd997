"""The lock file of an SQLite copy: errors name its holder, or whatever is in its place."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import fcntl
import os
import re
import socket
import subprocess
import sys

import pytest

from etl.errors import DatabaseError, SyncRunning
from etl.sync.file_lock import file_lock
from etl.sync.lock_holder import Holder, busy_message

HOLD = (
    "import os, sys; from pathlib import Path; from etl.sync.file_lock import file_lock\n"
    "with file_lock(Path(sys.argv[1]), wait=False):\n"
    "    print('held', flush=True); sys.stdin.read()"
)
FLOCK = (
    "import fcntl, sys; file = open(sys.argv[1], 'r+'); fcntl.flock(file, fcntl.LOCK_EX)\n"
    "print('held', flush=True); sys.stdin.read()"
)


@pytest.fixture
def database(tmp_path):
    return tmp_path / "tasks.db"


@pytest.fixture
def start():
    """Start Python programs that hold something until they are ended."""
    with contextlib.ExitStack() as stack:

        def start(program, argument):
            process = subprocess.Popen(
                [sys.executable, "-c", program, str(argument)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            stack.callback(process.stdin.close)
            stack.callback(process.stdout.close)
            assert process.stdout.readline() == b"held\n"
            return process

        yield start


def refused(database):
    with pytest.raises(SyncRunning) as caught, file_lock(database, wait=False):
        pass
    assert caught.value.exit_code == 75
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "holder, said",
    [
        (None, ""),
        (Holder(None, None, None), ""),
        (Holder("4711", None, None), " (process 4711)"),
        (Holder(None, "host-a", None), " (on host-a)"),
        (Holder("4711", "host-a", None), " (process 4711 on host-a)"),
        (
            Holder("4711", "host-a", dt.datetime(2026, 12, 1, 14, 3, 11, 5, dt.UTC)),
            " (process 4711 on host-a, since 2026-12-01 14:03:11 UTC)",
        ),
        (
            Holder(None, None, dt.datetime(2026, 12, 1, 14, 3, 11, tzinfo=dt.UTC)),
            " (since 2026-12-01 14:03:11 UTC)",
        ),
    ],
)
def test_the_message_names_what_is_known_about_the_holder(holder, said):
    assert busy_message(holder) == (
        f"another sync is writing to this database{said}: wait for it to finish, or use --wait"
    )


def test_the_second_writer_is_told_who_holds_the_lock_and_since_when(database, start):
    """A refused writer must not overwrite what the holder has written."""
    before = dt.datetime.now(dt.UTC).replace(microsecond=0)
    process = start(HOLD, database)
    for _ in range(2):
        line = refused(database)
        found = re.search(r"\(process (\d+) on (\S+), since (\S+ \S+) UTC\)", line)
        assert found, line
        assert (int(found[1]), found[2]) == (process.pid, socket.gethostname())
        assert before <= dt.datetime.fromisoformat(f"{found[3]}+00:00") <= dt.datetime.now(dt.UTC)


def test_a_released_lock_names_nobody(database):
    with file_lock(database, wait=False):
        assert str(os.getpid()) in refused(database)
    assert database.with_name("tasks.db.lock").read_bytes() == b""
    with file_lock(database, wait=False):
        pass


def test_killed_process_leaves_no_lock_and_is_not_named_later(database, start):
    first = start(HOLD, database)
    first.kill()
    first.wait()
    lock = database.with_name("tasks.db.lock")
    assert str(first.pid) in lock.read_text()
    other = start(FLOCK, lock)
    line = refused(database)
    assert f"process {other.pid} on {socket.gethostname()})" in line
    other.kill()
    other.wait()
    with file_lock(database, wait=False):
        pass


@pytest.mark.parametrize(
    "note", ["", "{", "[]", '{"process": "1"}', '{"process": 1, "host": "a", "since": 5}', "\0" * 5000]
)
def test_unreadable_notes_in_the_lock_file_are_ignored(database, start, note):
    lock = database.with_name("tasks.db.lock")
    lock.write_text(note)
    other = start(FLOCK, lock)
    assert f"process {other.pid}" in refused(database)


def test_without_the_kernels_list_of_locks_the_note_names_the_holder(database, start, monkeypatch, tmp_path):
    """In a container, the list hides the locks of others; some systems have no such list."""
    monkeypatch.setattr("etl.sync.file_lock.KERNEL_LOCKS", tmp_path / "none")
    process = start(HOLD, database)
    assert f"(process {process.pid} on {socket.gethostname()}, since " in refused(database)


def test_with_wait_the_second_writer_follows_the_first(database, start):
    process = start(HOLD, database)
    process.stdin.close()
    with file_lock(database, wait=True):
        process.wait()


@pytest.mark.parametrize("thing", ["symlink", "dangling symlink", "folder", "pipe"])
def test_another_file_type_in_place_of_the_lock_file_is_reported(database, tmp_path, thing):
    """A link could point to any file, which would be overwritten."""
    lock, target = database.with_name("tasks.db.lock"), tmp_path / "target"
    if "symlink" in thing:
        lock.symlink_to(target)
        if thing == "symlink":
            target.write_text("precious")
    elif thing == "folder":
        lock.mkdir()
    else:
        os.mkfifo(lock)
    with (
        pytest.raises(DatabaseError, match=f"{lock} is .* remove it") as caught,
        file_lock(database, wait=False),
    ):
        pass
    assert caught.value.exit_code == 4
    assert thing != "symlink" or target.read_text() == "precious"
    assert target.exists() == (thing == "symlink")


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_reported(database, monkeypatch, number):
    """No other kind of lock takes its place: it would outlive a killed process."""

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(DatabaseError, match="its file system does not support locks") as caught,
        file_lock(database, wait=False),
    ):
        pass
    assert caught.value.exit_code == 4


def test_a_full_disk_does_not_prevent_locking(database, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", refuse)
    with file_lock(database, wait=False):
        assert f"process {os.getpid()}" in refused(database)


def test_a_link_to_the_database_uses_the_same_lock(database, tmp_path):
    database.touch()
    link = tmp_path / "link.db"
    link.symlink_to(database)
    with file_lock(link, wait=False):
        refused(database)
    assert not link.with_name("link.db.lock").exists()
