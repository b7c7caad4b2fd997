"""Readers of a SQLite copy change nothing, leave no files, and block nobody."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import sqlite3
import uuid
from urllib.parse import quote

import httpx
import pytest
from support.commands import Person, error_of
from support.grids import one_in
from support.processes import Moment, environment_for, wait_until
from support.sandbox import GROUP, OWNER, STRANGER, as_user
from support.worlds import stored_states, true_states

READERS = (
    "status --json",
    "runs",
    "search guten",
    "rejected list",
    "db current",
    "db check",
    "export tasks -o {out}/tasks.csv",
    "export tasks --format ndjson --partition-by month -o {out}/months",
    "export subtitles --format vtt -o {out}/subtitles",
    "report -o {out}/report.html",
)
# A command that reads, one that sorts and one that writes files.
FEW = ("status --json", "search guten", "export tasks --format ndjson --partition-by month -o {out}/months")
# After this many commits, a sync of an existing copy has stored the new tasks.
LOADED = 4
REST = {"tasks.db", "tasks.db.lock"}


class Scene:
    """A folder with a copy and its owner, and another user of the same group."""

    def __init__(self, sandbox, emulator, mode):
        self.sandbox, self.emulator = sandbox, emulator
        self.folder = sandbox.folder / uuid.uuid4().hex
        self.folder.mkdir()
        os.chown(self.folder, OWNER, GROUP)
        self.folder.chmod(mode)
        self.path = self.folder / "tasks.db"
        self.out = self.folder.with_name(f"{self.folder.name}-out")
        self.out.mkdir()
        self.out.chmod(0o777)
        self.url = f"sqlite:///{self.path}"
        self.owner, self.stranger = self.person(OWNER), self.person(STRANGER)

    def person(self, user, url=None):
        return Person(self.sandbox, environment_for(self.emulator, url or self.url), user, GROUP)

    def listed(self):
        """Return owner, mode, size and modification time of each file in the folder, by name."""
        return {
            path.name: (found.st_uid, found.st_mode, found.st_size, found.st_mtime_ns)
            for path in self.folder.iterdir()
            for found in [path.stat()]
        }

    def run(self, reader, person):
        out = self.out / uuid.uuid4().hex
        out.mkdir()
        out.chmod(0o777)
        ended = person(*reader.format(out=out).split())
        assert ended.code == 0, ended
        return ended

    def read(self, reader, person):
        """Run a command that only reads, and check that it changes nothing."""
        before = self.listed()
        ended = self.run(reader, person)
        assert self.listed() == before
        return ended

    def close(self):
        shutil.rmtree(self.folder)
        shutil.rmtree(self.out)


@pytest.fixture
def build(sandbox, emulator):
    with contextlib.ExitStack() as stack:

        def build(mode=0o755, file_mode=0o644):
            scene = Scene(sandbox, emulator, mode)
            stack.callback(scene.close)
            assert scene.owner("sync").code == 0
            scene.path.chmod(file_mode)
            return scene

        yield build


def counted(ended):
    """Return the number of tasks in `status --json`."""
    return json.loads(ended.out)["present"]


def without_a_log(scene):
    """Switch WAL off, as a user may do for a network disk."""
    with as_user(OWNER), contextlib.closing(sqlite3.connect(scene.path)) as connection:
        assert connection.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)


@pytest.mark.parametrize("mode", [0o2775, 0o1777, 0o755])
def test_reader_of_another_user_leaves_no_files(build, mode):
    """A user who may write the folder but not the file would create a log that the owner cannot use."""
    scene = build(mode)
    for reader in READERS if mode == 0o1777 else FEW:
        scene.read(reader, scene.stranger)
    before = scene.listed()
    assert scene.stranger("doctor").code == 4
    for command in ("sync", "db upgrade", "rejected retry"):
        assert f"belongs to uid {OWNER}" in error_of(scene.stranger(*command.split()), 4)
    assert scene.listed() == before
    assert scene.owner("sync").code == 0


@pytest.mark.parametrize("user", [OWNER, STRANGER, 0])
def test_database_on_read_only_mount_is_readable(build, sandbox, user):
    scene = build()
    seen = sandbox.view / scene.folder.name / scene.path.name
    person = scene.person(user, f"sqlite:///{seen}")
    for reader in READERS if user == STRANGER else FEW:
        scene.read(reader, person)
    assert "Read-only" in error_of(person("sync"), 4)
    assert person("doctor").code == 4


def test_owner_can_read_in_unwritable_folder(build):
    scene = build()
    os.chown(scene.folder, 0, 0)
    for reader in FEW:
        scene.read(reader, scene.owner)
    assert f"its folder {scene.folder}" in error_of(scene.owner("sync"), 4)


@one_in(2, "name", ["a link.db", "what?.db", "100%.db", "a#b.db", os.fsdecode(b"\xfc.db")])
def test_another_user_can_read_through_symlink(build, name):
    scene = build(0o777)
    (scene.out / name).symlink_to(scene.path)
    quoted = quote(os.fsencode(scene.out / name))
    reader = scene.person(STRANGER, f"sqlite:///{quoted}")
    assert counted(scene.read("status --json", reader)) == 30
    assert "belongs to" in error_of(reader("sync"), 4)
    assert scene.person(OWNER, f"sqlite:///{quoted}")("sync").code == 0
    assert scene.listed().keys() == REST


@pytest.mark.parametrize("mode", [0o777, 0o755])
def test_another_user_can_read_during_sync(build, mode):
    """Committed rows are visible although they are still in the log."""
    scene = build(mode)
    scene.emulator.world.create()
    child = scene.owner.start("sync", moment=Moment(what="commit", number=LOADED, signal=signal.SIGSTOP))
    child.await_stop()
    assert scene.listed().keys() == REST | {"tasks.db-wal", "tasks.db-shm"}
    assert counted(scene.read("status --json", scene.stranger)) == 31
    child.send(signal.SIGCONT)
    assert child.await_end().code == 0
    assert scene.listed().keys() == REST


@pytest.mark.parametrize("mode", [0o777, 0o755])
def test_sync_does_not_change_file_under_immutable_reader(build, mode):
    """The file does not change: the log is kept until the next sync."""
    scene = build(mode)
    child = scene.stranger.start("status", "--json", moment=Moment(what="count(*)", signal=signal.SIGSTOP))
    child.await_stop()
    before = scene.listed()["tasks.db"]
    for _ in range(300):
        scene.emulator.world.create()
    constants = {"etl.database.sqlite.CHECKPOINT_PAGES": 1}
    assert scene.owner("sync", constants=constants).code == 0
    assert scene.listed()["tasks.db"] == before
    assert scene.listed()["tasks.db-wal"][0] == OWNER
    for person in (scene.stranger, scene.owner, scene.person(0)):
        assert counted(scene.run("status --json", person)) == 330
    assert scene.listed()["tasks.db"] == before
    child.send(signal.SIGCONT)
    ended = child.await_end()
    assert (ended.code, ended.err) == (0, "")
    assert counted(ended) == 30
    assert scene.owner("sync").code == 0
    assert scene.listed().keys() == REST
    assert stored_states(scene.url) == true_states(scene.emulator.world)


@pytest.mark.parametrize("mode", [0o777, 0o755])
def test_reader_fails_if_a_checkpoint_takes_too_long(build, mode):
    """Without the lock, it might print rows from two states of the file before it notices the change."""
    scene = build(mode)
    constants = {"etl.database.sqlite_files.LOCK_SECONDS": 0.2}
    descriptor = os.open(scene.folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for reader in FEW:
            ended = scene.stranger(*reader.format(out=scene.out).split(), constants=constants)
            assert "has been busy for 0.2 s" in error_of(ended, 4)
            assert ended.out == ""
        child = scene.stranger.start("status", "--json")
    finally:
        os.close(descriptor)
    assert counted(child.await_end()) == 30


def test_reader_detects_changes_by_other_programs(build):
    """Other programs ignore the checkpoint lock, so reads may be inconsistent."""
    scene = build()
    child = scene.stranger.start("status", "--json", moment=Moment(what="count(*)", signal=signal.SIGSTOP))
    child.await_stop()
    with contextlib.closing(sqlite3.connect(scene.path)) as connection:
        connection.execute("CREATE TABLE mine AS SELECT * FROM tasks")
        connection.commit()
    child.send(signal.SIGCONT)
    ended = child.await_end()
    assert "was changed by another program while it was read: run again" in error_of(ended, 4)
    assert ended.out == ""


@pytest.mark.parametrize("mode", [0o777, 0o755])
def test_another_user_can_read_after_killed_sync(build, mode):
    scene = build(mode)
    scene.emulator.world.create()
    child = scene.owner.start("sync", moment=Moment(what="commit", number=LOADED))
    assert child.await_end().code == -signal.SIGKILL
    assert counted(scene.read("status --json", scene.stranger)) == 31
    assert scene.owner("sync").code == 0
    assert scene.listed().keys() == REST


@pytest.mark.parametrize("mode", [0o777, 0o755])
@pytest.mark.parametrize("loss", ["index", "right to read the index", "right to read the log"])
def test_unreadable_wal_or_shm_is_named(build, mode, loss):
    """Only a user who may write the file can restore the index of a log."""
    scene = build(mode)
    scene.emulator.world.create()
    scene.owner.start("sync", moment=Moment(what="commit", number=LOADED)).await_end()
    log, index = (scene.path.with_name(f"tasks.db{suffix}") for suffix in ("-wal", "-shm"))
    if loss == "index":
        index.unlink()
    else:
        (index if "index" in loss else log).chmod(0o600)
    before = scene.listed()
    line = error_of(scene.stranger("status"), 4)
    assert str(log if loss.endswith("log") else index) in line
    assert f"run gcore-etl status as uid {OWNER}" in line
    assert scene.listed() == before
    assert counted(scene.owner("status", "--json")) == 31
    assert counted(scene.read("status --json", scene.stranger)) == 31


def test_wal_and_shm_owned_by_another_user_are_named(build):
    """Other programs leave them; the error names the files, not the permissions of the database."""
    scene = build(0o777)
    with (
        as_user(STRANGER),
        contextlib.closing(sqlite3.connect(f"{scene.path.as_uri()}?mode=ro", uri=True)) as other,
    ):
        other.execute("SELECT count(*) FROM tasks").fetchone()
    assert scene.listed()["tasks.db-wal"][0] == STRANGER
    log, index = (scene.path.with_name(f"tasks.db{suffix}") for suffix in ("-wal", "-shm"))
    for command in ("sync", "db upgrade", "rejected retry"):
        line = error_of(scene.owner(*command.split()), 4)
        assert f"{log} and {index} beside it belong to uid {STRANGER}" in line
        assert f"chown --reference={scene.path} {log} {index}" in line
    assert counted(scene.read("status --json", scene.owner)) == 30
    assert scene.person(0)("sync").code == 0


def test_another_user_can_read_without_wal_mode(build):
    scene = build(0o777)
    without_a_log(scene)
    for reader in FEW:
        scene.read(reader, scene.stranger)


def test_hot_rollback_journal_is_reported(build):
    """The file was changed already: only a user who may write it can roll back."""
    scene = build()
    without_a_log(scene)
    journal = scene.path.with_name("tasks.db-journal")
    with contextlib.closing(sqlite3.connect(scene.path)) as connection:
        connection.execute("PRAGMA cache_size = 2")
        connection.execute("UPDATE tasks SET url = zeroblob(10000)")
        for path in (scene.path, journal):
            shutil.copy(path, scene.out)
    for path in (scene.path, journal):
        shutil.move(scene.out / path.name, path)
        os.chown(path, OWNER, GROUP)
    before = scene.listed()
    line = error_of(scene.stranger("status"), 4)
    assert f"left {journal}: run gcore-etl status as uid {OWNER}" in line
    assert scene.listed() == before
    assert scene.owner("status").code == 0
    scene.read("status", scene.stranger)
    assert scene.owner("sync").code == 0
    assert stored_states(scene.url) == true_states(scene.emulator.world)


@pytest.mark.parametrize("where", ["file", "folder"])
def test_unreadable_database_error_names_owner(build, where):
    scene = build()
    place, mode = (scene.path, 0o600) if where == "file" else (scene.folder, 0o700)
    place.chmod(mode)
    before = scene.listed()
    for reader in ("status", "doctor", "export tasks", "sync"):
        ended = scene.stranger(*reader.split())
        assert ended.code == 4
        assert f"belongs to uid {OWNER} (mode {mode:04o})" in ended.out + ended.err
    assert scene.listed() == before


def test_group_members_can_share_database(build):
    """A sync by any member, even if killed, leaves only files that the others can use."""
    scene = build(0o2770, 0o660)
    for person, other in ((scene.owner, scene.stranger), (scene.stranger, scene.owner)):
        scene.emulator.world.create()
        killed = person("sync", moment=Moment(what="commit", number=LOADED))
        assert killed.code == -signal.SIGKILL
        for reader in FEW:
            scene.run(reader, other)
        assert other("sync").code == 0
        assert person("sync").code == 0
    assert stored_states(scene.url) == true_states(scene.emulator.world)


def test_owner_can_sync_after_root(build):
    scene = build()
    scene.path.with_name("tasks.db.lock").unlink()
    root = scene.person(0)
    scene.emulator.world.create()
    assert root("sync", moment=Moment(what="commit", number=LOADED)).code == -signal.SIGKILL
    scene.run("status", root)
    assert scene.owner("sync").code == 0
    assert {owner for owner, *_ in scene.listed().values()} == {OWNER}


@pytest.mark.parametrize("mode", [0o777, 0o755])
def test_explore_of_another_user_does_not_block_sync(build, mode):
    """Between two requests neither a snapshot nor a lock is held."""
    scene = build(mode)
    child = scene.stranger.start("explore", "--no-open", "--port", "0")
    wait_until(lambda: "http://" in child.complained(), "it is served")
    address = re.search(r"http://\S+/", child.complained())[0]

    def count():
        answer = httpx.get(
            f"{address}tasks.json", params={"sql": "SELECT count(*) FROM tasks", "_shape": "arrays"}
        )
        return answer.json()["rows"]

    before = scene.listed()
    assert count() == [[30]]
    assert scene.listed() == before
    for number in (31, 32):
        scene.emulator.world.create()
        assert scene.owner("sync").code == 0
        assert scene.listed().keys() == REST
        assert count() == [[number]]
    child.send(signal.SIGTERM)
    assert child.await_end().code == 128 + signal.SIGTERM
    assert scene.listed().keys() == REST
