"""The catalog of views agrees with the SQL files, the migrations and the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from etl import views
from etl.catalog import ENUMERATIONS, ColumnType, Enumeration, list_catalog
from etl.cli.export import TABLES
from etl.frames.selection import SELECTIONS
from etl.models import METADATA
from etl.views.definitions import VIEWS

ROOT = Path(__file__).parents[3]
INSTANTS = {ColumnType.TIMESTAMP, ColumnType.DAY}
# Queries that views share.
FRAGMENTS = {"percentiles", "spans"}
# What since and until compare, and why. A reader filters by when a row happened, not by when it was removed.
TIMES = {
    "task_timeline": "created_at",
    "task_daily": "day",
    "outcomes": "day",
    "minutes_daily": "day",
    "status_spans": "valid_from",
    "retries": "last_at",
    "failures": "failed_at",
    "failure_kinds": "last_at",  # the kinds of error that still occur
    "in_flight": "created_at",
    "stalls": "created_at",
    "results_expiring": "completed_at",  # expires_at is always 30 days later
    "freshness": "synced_at",  # its one row is selected if a sync succeeded in the range
    "video_lengths": "the time of the task",  # like the subtitles that it summarizes
    # These summarize the whole history and have no column with a time.
    "task_durations": "task_timeline instead",
    "task_waits": "task_timeline instead",
    "status_transitions": "status_spans instead",
}


def test_every_view_has_a_file_and_an_entry():
    files = {path.stem for path in (ROOT / "etl" / "views").glob("*.sql")}
    assert files == {*VIEWS, *FRAGMENTS}
    assert tuple(VIEWS) == views.NAMES


def test_views_depend_only_on_earlier_views():
    for place, name in enumerate(views.NAMES):
        query = views.definition(name, "sqlite")
        read = {each for each in views.NAMES if re.search(rf"\b(FROM|JOIN) {each}\b", query)}
        assert read <= set(views.NAMES[:place]), name


def test_time_columns_of_views_are_as_documented():
    found = {
        name: view.time or ("the time of the task" if view.has_task_time else f"{view.unaggregated} instead")
        for name, view in VIEWS.items()
    }
    assert found == TIMES


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_view_entry_is_consistent(view):
    columns = {each.name: each.columns for each in list_catalog()}[view.name]
    assert set(view.order) <= set(columns)
    assert view.row.startswith("One row")
    assert re.fullmatch(r"00\d\d", view.introduced_in)
    assert view.introduced_in in {path.name[:4] for path in (ROOT / "migrations" / "versions").glob("*.py")}
    if view.time is not None:
        assert columns[view.time] in INSTANTS
    elif view.has_task_time:
        assert "task_id" in columns
    else:
        assert INSTANTS.isdisjoint(columns.values())
        assert VIEWS[view.unaggregated].time is not None


def test_view_description_is_its_sql_comment():
    for name in views.NAMES:
        for dialect in ("sqlite", "postgresql"):
            lines = views.definition(name, dialect).splitlines()
            comment = [line.removeprefix("-- ") for line in lines if line.startswith("-- ")]
            assert views.comment_of(name).startswith(comment[0])
            assert max(map(len, comment)) <= 110


def test_every_enumeration_has_a_use_and_existing_columns():
    kinds = {kind for each in list_catalog() for kind in each.columns.values()}
    assert {kind for kind in kinds if isinstance(kind, Enumeration)} == set(ENUMERATIONS.values())
    for path in ENUMERATIONS:
        table, _, column = path.partition(".")
        assert column in METADATA.tables[table].c


def test_every_table_and_view_can_be_exported():
    assert [*TABLES, *views.NAMES] == list(SELECTIONS)


def test_readme_lists_every_view():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in views.NAMES if f"`{name}`" not in readme] == []
