"""Created files are accessible only to their owner, from the moment of creation and with any umask."""

from __future__ import annotations

import os
import shutil
import signal
import stat
from typing import TYPE_CHECKING

import pytest
from support.absent import give_up
from support.grids import one_in
from support.processes import Moment
from support.stored import NOON, store_task

from etl import export
from etl.database import ensure_schema
from etl.sync.api import writing

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = (
    "sync",
    "export tasks -o {folder}/tasks.csv",
    "export tasks --format csv --partition-by day -o {folder}/days",
    "export subtitles --format srt -o {folder}/deep/down/subtitles",
    "report -o {folder}/report.html",
)


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request):
    found = os.umask(request.param)
    yield request.param
    os.umask(found)


def modes(folder: Path) -> dict[str, int]:
    """Return the permissions of everything in a folder, by relative path."""
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode)
        for path in sorted(folder.rglob("*"))
    }


def check_private(folder: Path) -> None:
    found = modes(folder)
    assert found
    expected = {name: 0o700 if (folder / name).is_dir() else 0o600 for name in found}
    assert found == expected


def test_created_files_are_private_with_any_umask(nursery, sqlite_command, tmp_path, umask):
    for words in COMMANDS:
        arguments = words.format(folder=tmp_path).split()
        ended = nursery.run(sqlite_command.environment, *arguments, umask=umask)
        assert ended.code == 0, ended
    assert {"tasks.db", "tasks.db.lock", "tasks.csv", "report.html"} <= modes(tmp_path).keys()
    assert any(name.startswith("deep/down/subtitles/") for name in modes(tmp_path))
    check_private(tmp_path)


def test_wal_and_shm_are_private_during_sync(nursery, sqlite_command, tmp_path):
    """The WAL and its index contain the same data as the database."""
    for what in ("statement", "CREATE VIEW", " tasks (task_id, ", " task_results (task_id, "):
        moment = Moment(what=what, signal=signal.SIGSTOP)
        child = nursery.start(sqlite_command.environment, "sync", umask=0, moment=moment)
        child.await_stop()
        check_private(tmp_path)
        child.send(signal.SIGKILL)
        child.await_end()
    assert "tasks.db-wal" in modes(tmp_path)


@pytest.mark.usefixtures("umask")
def test_files_are_private_from_creation_without_chmod(tmp_path, monkeypatch):
    """Otherwise anyone could open the file before its mode is changed, and continue to read."""
    monkeypatch.setattr(os, "chmod", lambda *_, **__: None)
    monkeypatch.setattr(os, "fchmod", lambda *_: None)
    url = f"sqlite:///{tmp_path}/tasks.db"
    with writing(url) as connection:
        with connection.begin():
            ensure_schema(connection)
            check_private(tmp_path)
        with connection.begin():
            store_task(connection, started_at=NOON)
        check_private(tmp_path)
    export.export("tasks", tmp_path / "tasks.csv", source=url)
    export.export("tasks", tmp_path / "days", source=url, format="csv", partition_by="day")
    export.export_subtitles(tmp_path / "deep" / "subtitles", "vtt", source=url)
    assert "days/day=2026-06-26/part-0.csv" in modes(tmp_path)
    check_private(tmp_path)


@one_in(2, "mode", [0o644, 0o640, 0o666])
def test_existing_files_keep_their_mode(nursery, sqlite_command, tmp_path, mode):
    """A user may have published a file, or shared it with a group, on purpose."""
    for words in COMMANDS:
        nursery.run(sqlite_command.environment, *words.format(folder=tmp_path).split())
    shutil.rmtree(tmp_path / "deep")
    published = tmp_path / "published"
    published.mkdir()
    for path in tmp_path.rglob("*"):
        path.chmod(mode | 0o111 if path.is_dir() else mode)
    before = modes(tmp_path)
    for words in COMMANDS:
        arguments = words.format(folder=tmp_path).replace("deep/down/subtitles", "published").split()
        if "--partition-by" in arguments:
            arguments.append("--force")
        ended = nursery.run(sqlite_command.environment, *arguments, umask=0o077)
        assert ended.code == 0, ended
    after = modes(tmp_path)
    assert {name: after[name] for name in before} == before
    assert set(after.values()) - set(before.values()) == {0o600}
    assert {name for name, found in after.items() if found == 0o600} == {
        name for name in after if name.startswith("published/")
    }


def test_replaced_file_keeps_owner_group_and_mode(nursery, sqlite_command, tmp_path):
    if os.geteuid() != 0:
        give_up("only root can give a file away")
    page = tmp_path / "tasks.csv"
    page.touch()
    os.chown(page, 11111, 20000)
    page.chmod(0o640)
    nursery.run(sqlite_command.environment, "sync")
    assert nursery.run(sqlite_command.environment, "export", "tasks", "-o", str(page)).code == 0
    found = page.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (11111, 20000, 0o640)
    assert page.read_text().startswith("task_id")


@pytest.mark.parametrize("mode", [0o660, 0o664, 0o666, 0o600, 0o644])
def test_lock_file_mode_follows_database_write_permission(tmp_path, mode):
    """Anyone who can open the lock file can block syncs, so only users who may write can open it."""
    path = tmp_path / "tasks.db"
    with writing(f"sqlite:///{path}"):
        pass
    path.chmod(mode)
    with writing(f"sqlite:///{path}"):
        assert modes(tmp_path)["tasks.db-wal"] == mode
    writers = mode & 0o222
    assert modes(tmp_path)["tasks.db.lock"] == writers | writers << 1
    (tmp_path / "tasks.db.lock").unlink()
    with writing(f"sqlite:///{path}"):
        pass
    assert modes(tmp_path)["tasks.db.lock"] == writers | writers << 1
