"""The database that a notebook reads, whatever folder it is started in."""

from __future__ import annotations

from pathlib import Path

import pytest

from etl import frames
from etl.database import open_engine
from etl.errors import ConfigurationError, NoTablesError

VARIABLE = "GCORE_ETL_DATABASE_URL"


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """Return a clone with an odd name, and change to its folder of notebooks."""
    folder = tmp_path / "my clone #1 50% ü"
    (folder / "notebooks").mkdir(parents=True)
    monkeypatch.chdir(folder / "notebooks")
    return folder


def path_of(url: str) -> Path:
    """Return the file of a database URL."""
    return Path(str(open_engine(url).url.database))


@pytest.mark.parametrize("started_in, place", [("", ""), ("notebooks", ""), ("notebooks", "notebooks")])
def test_synced_copy_takes_precedence_over_demo(repository, monkeypatch, started_in, place):
    monkeypatch.chdir(repository / started_in)
    for folder in (repository, repository / "notebooks"):
        (folder / "gcore_demo.db").touch()
    copy = repository / place / "gcore_tasks.db"
    copy.touch()
    found = frames.find_database()
    assert path_of(found.url) == copy
    assert found.description == f"Reading {copy}."


def test_demo_database_is_described_as_demo(repository):
    (repository / "gcore_demo.db").touch()
    found = frames.find_database()
    assert path_of(found.url) == repository / "gcore_demo.db"
    assert found.description == f"Reading the demo database, whose tasks are made up: {path_of(found.url)}."


def test_relative_url_is_also_resolved_in_parent_folder(repository, monkeypatch):
    (repository / "data").mkdir()
    (repository / "gcore_demo.db").touch()
    for name in ("mine.db", "data/mine.db", "my copy.db"):
        (repository / name).touch()
        for url in (
            f"sqlite:///{name}",
            f"sqlite:///{name.replace(' ', '%20')}",
            f"sqlite+pysqlite:///{name}",
        ):
            monkeypatch.setenv(VARIABLE, url)
            assert path_of(frames.find_database().url) == repository / name
    # The file in the current folder wins.
    (repository / "notebooks" / "mine.db").touch()
    monkeypatch.setenv(VARIABLE, "sqlite:///mine.db")
    assert path_of(frames.find_database().url) == repository / "notebooks" / "mine.db"
    assert path_of(frames.find_database(repository).url) == repository / "mine.db"


def test_absolute_url_is_used_unchanged(repository, monkeypatch, tmp_path):
    file = tmp_path / "elsewhere.db"
    file.touch()
    (repository / "gcore_tasks.db").touch()
    monkeypatch.setenv(VARIABLE, f"sqlite:///{file}")
    assert path_of(frames.find_database().url) == file


def test_missing_configured_database_is_an_error(repository, monkeypatch):
    (repository / "gcore_demo.db").touch()
    (repository / "gcore_tasks.db").touch()
    for url in ("sqlite:///other.db", f"sqlite:///{repository}/notebooks/gcore_tasks.db"):
        monkeypatch.setenv(VARIABLE, url)
        with pytest.raises(NoTablesError, match=r"there is no database at .*: run gcore-etl sync"):
            frames.find_database()


def test_missing_database_error_says_what_to_do(repository):
    with pytest.raises(NoTablesError) as error:
        frames.find_database()
    said = str(error.value)
    for part in (
        f"{repository}/notebooks/gcore_tasks.db",
        f"{repository}/gcore_tasks.db",
        "make demo",
        VARIABLE,
    ):
        assert part in said
    assert "\n" not in said


def test_description_omits_password(monkeypatch):
    url = "postgresql://me:sesame@db.example:5433/gcore"
    monkeypatch.setenv(VARIABLE, url)
    found = frames.find_database()
    assert found.url == url
    assert found.description == "Reading the database gcore on db.example."
    assert "sesame" not in repr(found)


def test_invalid_url_is_rejected(monkeypatch):
    for url in ("mysql://host/db", "no url"):
        monkeypatch.setenv(VARIABLE, url)
        with pytest.raises(ConfigurationError):
            frames.find_database()
