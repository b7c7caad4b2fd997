"""Problems with files: each is reported in one line, with the right exit code."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sqlite3
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest
from support.absent import give_up
from support.commands import Command, error_of
from support.grids import one_in
from support.processes import Moment, environment_for
from support.worlds import query, stored_states, true_states

COMMANDS = ("sync", "status", "db upgrade", "db check", "export tasks", "rejected retry")


def make_folder(path):
    path.mkdir()


def make_pipe(path):
    os.mkfifo(path)


def make_socket(path):
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path.name)


def make_zeros(path):
    path.write_bytes(bytes(20_000))


def make_text(path):
    path.write_text("no database at all, however long it may be. " * 500)


def make_half_a_database(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine AS SELECT zeroblob(100000) AS filling")
        connection.commit()
    os.truncate(path, 50_000)


def make_loop(path):
    path.symlink_to(path.name)


ODD = {
    "a folder": (make_folder, "it is a folder, not a file"),
    "a pipe": (make_pipe, "it is a pipe or a device, not a file"),
    "a socket": (make_socket, "it is a pipe or a device, not a file"),
    "zeros": (make_zeros, "is not an SQLite database"),
    "text": (make_text, "is not an SQLite database"),
    "half a database": (make_half_a_database, "is damaged"),
    "a link to itself": (make_loop, "cannot be opened: Too many levels of symbolic links"),
}


@pytest.fixture
def at(nursery, emulator):
    """Return a function that returns the command for the database at a path."""
    return lambda path: Command(nursery, environment_for(emulator, f"sqlite:///{quote(os.fsencode(path))}"))


@pytest.mark.parametrize("kind", ODD)
def test_non_database_file_is_identified(at, tmp_path, kind):
    make, words = ODD[kind]
    path = tmp_path / "tasks.db"
    make(path)
    before = path.lstat()
    for command in COMMANDS:
        line = error_of(at(path)(*command.split()), 4)
        assert re.search(words, line), line
        assert str(path) in line
    ended = at(path)("doctor")
    assert ended.code == 4
    assert re.search(f"FAIL +database +.*({words})", ended.out), ended.out
    assert "unexpected" not in ended.out
    after = path.lstat()
    assert (after.st_mode, after.st_size, after.st_ino) == (before.st_mode, before.st_size, before.st_ino)


def test_device_file_is_identified(at):
    for command in COMMANDS:
        assert "it is a pipe or a device" in error_of(at(Path("/dev/null"))(*command.split()), 4)


def test_empty_file_is_database_without_tables(at, tmp_path):
    """Created by mktemp or touch, for example; it keeps its mode."""
    path = tmp_path / "tasks.db"
    path.touch(0o640)
    for command in ("status", "db check", "export tasks"):
        assert "no tables yet: run gcore-etl sync" in error_of(at(path)(*command.split()), 4)
    assert at(path)("doctor").code == 0
    assert path.stat().st_size == 0
    assert at(path)("sync").code == 0
    assert path.stat().st_mode & 0o777 == 0o640


def test_dangling_symlink_creates_target(at, tmp_path):
    link, target = tmp_path / "link.db", tmp_path / "target.db"
    link.symlink_to(target.name)
    assert at(link)("sync").code == 0
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o600
    assert at(target)("status").code == 0


PLACES = {
    "no folder": ("nowhere/tasks.db", "there is no folder"),
    "a file for a folder": ("file/tasks.db", "there is no folder"),
    "a long name": ("x" * 300, "cannot be opened: File name too long"),
    "a long path": ("/".join(["x" * 200] * 30), "cannot be opened: File name too long"),
}


@pytest.mark.parametrize("kind", PLACES)
def test_impossible_database_path_is_reported(at, tmp_path, kind):
    (tmp_path / "file").touch()
    name, words = PLACES[kind]
    for command in (*COMMANDS, "doctor"):
        ended = at(tmp_path / name)(*command.split())
        assert ended.code == 4, ended
        assert re.search(words, ended.out + ended.err), ended
        assert "unexpected" not in ended.out + ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_file_name_with_null_byte_is_invalid_url(nursery, emulator, tmp_path):
    environment = environment_for(emulator, f"sqlite:///{tmp_path}/a%00b.db")
    for command in (*COMMANDS, "doctor"):
        ended = nursery.run(environment, *command.split())
        assert ended.code == 3, ended
        assert "contains a zero character" in ended.out + ended.err


@one_in(2, "name", ["what?.db", "a#b.db", "100%25.db", "semi;colon & space.db", b"\xff\xfe.db"])
def test_commands_support_unusual_file_names(at, tmp_path, name):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + os.fsencode(name)))
    for command in ("sync", "sync --dry-run", "doctor", "status", "db check", "export tasks", "report -o -"):
        ended = at(path)(*command.split())
        assert ended.code == 0, ended
    assert {os.fsencode(each.name) for each in tmp_path.iterdir()} == {
        os.fsencode(name),
        os.fsencode(name) + b".lock",
    }


@pytest.mark.parametrize("is_replaced", [False, True])
@pytest.mark.parametrize("what", [" tasks (task_id, ", " task_results (task_id, "])
def test_database_replaced_during_sync_is_detected(nursery, at, tmp_path, what, is_replaced):
    """SQLite would continue to write to the unlinked file, and the data would be lost silently."""
    path = tmp_path / "tasks.db"
    command = at(path)
    child = nursery.start(command.environment, "sync", moment=Moment(what=what, signal=signal.SIGSTOP))
    child.await_stop()
    path.rename(tmp_path / "old.db")
    if is_replaced:
        path.touch()
    child.send(signal.SIGCONT)
    assert "was deleted or replaced during the run: run again" in error_of(child.await_end(), 4)
    for name in ("tasks.db-wal", "tasks.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    assert command("sync").code == 0


@pytest.mark.parametrize("name", ["tasks.db-wal", "tasks.db-shm"])
def test_folder_in_place_of_wal_or_shm_is_one_line_error(at, tmp_path, name):
    path = tmp_path / "tasks.db"
    assert at(path)("sync").code == 0
    (tmp_path / name).mkdir()
    for command in ("sync", "db upgrade"):
        line = error_of(at(path)(*command.split()), 4)
        assert str(path) in line


@one_in(2, "kib", [4, 40, 120])
def test_disk_full_from_start_is_reported(nursery, emulator, tmp_path, kib):
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", str(tmp_path)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        give_up("only root can mount a disk")
    try:
        command = Command(nursery, environment_for(emulator, f"sqlite:///{tmp_path}/tasks.db"))
        ended = command("doctor")
        assert (ended.code, "disk is full" in ended.out) == (4, True)
        line = error_of(command("sync"), 4)
        assert "disk is full" in line
        ended = command("doctor")
        assert (ended.code, "disk is full" in ended.out) == (4, True)
        subprocess.run(["mount", "-o", "remount,size=100m", str(tmp_path)], check=True)
        assert command("sync").code == 0
        assert stored_states(command.database_url) == true_states(emulator.world)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize(
    "damage", ["DROP TABLE task_results", "ALTER TABLE tasks RENAME COLUMN status TO state"]
)
def test_schema_change_during_sync_is_reported(nursery, at, tmp_path, damage):
    path = tmp_path / "tasks.db"
    command = at(path)
    moment = Moment(what="commit", number=2, is_after=True, signal=signal.SIGSTOP)
    child = nursery.start(command.environment, "sync", moment=moment)
    child.await_stop()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'view'").fetchall():
            connection.execute(f"DROP VIEW {name}")
        connection.execute(damage)
        connection.commit()
    child.send(signal.SIGCONT)
    assert "has been altered (" in error_of(child.await_end(), 4)
    assert re.search(r"not as gcore-etl made it|has been altered \(", error_of(command("sync"), 4))


def test_message_of_user_trigger_is_quoted(at, tmp_path):
    path = tmp_path / "tasks.db"
    assert at(path)("db", "upgrade").code == 0
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TRIGGER mine BEFORE INSERT ON tasks BEGIN SELECT raise(ABORT, 'hands off'); END"
        )
    assert "a trigger of yours that refuses the change: hands off" in error_of(at(path)("sync"), 4)
    assert query(f"sqlite:///{path}", "SELECT status FROM sync_runs") == [("failed",)]
