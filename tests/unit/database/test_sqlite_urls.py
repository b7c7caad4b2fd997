"""URLs of SQLite files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from etl.database import file_of, sqlite_url

NAMES = ("tasks.db", "my demo.db", " .db ", "a%41.db", "a?b=c", ":memory:", "file:x", "ü", "a\nb", b"\xff")


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_url_of_a_file_leads_to_the_file_whatever_its_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    relative = Path(os.fsdecode(name))
    for path in (relative, tmp_path / relative):
        assert file_of(sqlite_url(path)) == tmp_path / relative
    assert file_of(sqlite_url(relative), tmp_path.parent) == tmp_path.parent / relative
