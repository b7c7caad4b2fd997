"""A read-only root file system with one writable folder and no temporary folder, as in a container."""

from __future__ import annotations

import uuid

import pytest
from support.commands import Person, error_of
from support.processes import environment_for
from support.sandbox import STRANGER
from support.worlds import a_world, query, stored_states, true_states

from etl.emulator import Behaviour, serve

GROUP = 54322


@pytest.fixture
def big():
    """Serve results that are too large for the memory that SQLite uses for a statement."""
    with serve(a_world(400), Behaviour(page_cap=1000)) as emulator:
        yield emulator


@pytest.fixture
def data(bare_box):
    folder = bare_box.folder / uuid.uuid4().hex
    folder.mkdir()
    folder.chmod(0o777)
    return folder


@pytest.fixture
def person(bare_box, big, data):
    return Person(bare_box, environment_for(big, f"sqlite:///{data}/tasks.db"), STRANGER, GROUP)


def test_commands_work_if_only_database_folder_is_writable(person, big, data):
    """No temporary files are left behind."""
    assert person("sync", "--dry-run").code == 0
    assert list(data.iterdir()) == []
    assert person("doctor").code == 0
    assert list(data.iterdir()) == []
    assert person("sync").code == 0
    assert stored_states(f"sqlite:///{data}/tasks.db") == true_states(big.world)
    assert query(f"sqlite:///{data}/tasks.db", "SELECT count(*) > 50 FROM task_results") == [(1,)]
    for words in (
        "doctor",
        "sync --dry-run",
        "sync --full",
        "status",
        "search guten",
        f"export tasks -o {data}/tasks.parquet",
        f"export task_timeline --format csv --partition-by day -o {data}/days",
        f"export subtitles --format srt -o {data}/subtitles",
        f"report -o {data}/report.html",
    ):
        ended = person(*words.split())
        assert ended.code == 0, ended
    assert {path.name for path in data.iterdir()} == {
        *("tasks.db", "tasks.db.lock", "tasks.parquet", "days", "subtitles", "report.html")
    }


def test_read_commands_work_without_writable_folder(person, data):
    """Commands that need a temporary folder fail, and name TMPDIR."""
    assert person("sync").code == 0
    data.chmod(0o555)
    (data / "tasks.db").chmod(0o444)
    for words in ("status", "runs", "search guten", "export tasks"):
        assert person(*words.split()).code == 0
    assert "TMPDIR" in error_of(person("report", "-o", "-"), 3)
    ended = person("doctor")
    assert ended.code == 4


def test_dry_run_on_empty_postgres_error_names_tmpdir(bare_box, big, postgres_databases):
    """The dry run needs a temporary database, and there is no folder for it."""
    with postgres_databases.empty() as url:
        person = Person(bare_box, environment_for(big, url), 0, 0)
        assert "TMPDIR" in error_of(person("sync", "--dry-run"), 4)
        assert person("sync").code == 0
