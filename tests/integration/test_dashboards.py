"""The Grafana dashboard and the Metabase page: every query in them runs on Postgres."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from support.stored import store_result, store_task
from support.worlds import NOW, query, sync_while_it_changes

from etl import views
from etl.database import open_engine, reading

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[2] / "docs"
DASHBOARD = json.loads((DOCS / "grafana-dashboard.json").read_text(encoding="utf-8"))
PANELS = DASHBOARD["panels"]
TITLES = [panel["title"] for panel in PANELS]
RANGE = NOW - dt.timedelta(days=40), dt.datetime.now(dt.UTC) + dt.timedelta(days=2)
TYPES = ("transcription", "content-moderation", "unknown")
TIMES = ("created_after", "created_before", "started_at")


@pytest.fixture(scope="module")
def url(postgres_databases) -> Iterator[str]:
    with postgres_databases.migrated() as url:
        sync_while_it_changes(url, max_results=100)
        engine = open_engine(url)
        with engine.begin() as connection:
            ended = dt.datetime.now(dt.UTC)
            new = {"task_name": TYPES[0], "status": "SUCCESS", "completed_at": ended}
            store_task(connection, "new", is_result_due=True, **new)
            # Two tasks of unknown type: one with a known processing time only, one with a known wait only.
            store_task(connection, "ran", status="FAILURE", completed_at=ended, total_time_sec=5)
            store_task(connection, "waited", status="FAILURE", **dict.fromkeys(TIMES, ended))
            for task_id, error in (("ran", "  " + "long " * 20), ("waited", ":odd")):
                store_result(connection, task_id, "archived", error=error)
        engine.dispose()
        yield url


def fill_in(text: str, since: dt.datetime, until: dt.datetime, types: list[str]) -> str:
    """Expand macros and variables like Grafana: an argument ends at the first bracket, `$type` is a list."""
    bounds = f"'{since:%Y-%m-%dT%H:%M:%SZ}' AND '{until:%Y-%m-%dT%H:%M:%SZ}'"
    text = re.sub(r"\$__timeFilter\(([^)]*)\)", rf"\1 BETWEEN {bounds}", text)
    return text.replace("$type", ",".join(f"'{each}'" for each in types))


def rows_of(url: str, title: str, since=RANGE[0], until=RANGE[1], types=TYPES):
    (panel,) = [panel for panel in PANELS if panel["title"] == title]
    (target,) = panel["targets"]
    text = fill_in(target["rawSql"], since, until, list(types))
    assert "$" not in text
    with reading(url) as connection:
        result = connection.execute(sa.text(text.replace(":", r"\:")))
        return target["format"], [dict(row) for row in result.mappings()]


@pytest.mark.parametrize("title", TITLES)
def test_each_panel_gets_rows_in_its_format(url, title):
    form, rows = rows_of(url, title)
    assert rows
    if form == "time_series":
        times = [row.pop("time") for row in rows]
        assert times == sorted(times)
        assert all(time.tzinfo is not None and RANGE[0] <= time <= RANGE[1] for time in times)
        assert all(isinstance(row.pop("metric", ""), str) for row in rows)
        assert all(float(value) >= 0 for row in rows for value in row.values() if value is not None)
    if "$__timeFilter" in json.dumps(next(panel for panel in PANELS if panel["title"] == title)):
        assert rows_of(url, title, *(end - dt.timedelta(days=1000) for end in RANGE))[1] == []


def test_panels_agree_with_the_views(url):
    _, finished = rows_of(url, "Tasks finished per day")
    ((succeeded, failed, revoked),) = query(
        url, "SELECT sum(succeeded), sum(failed), sum(revoked) FROM outcomes"
    )
    totals = [sum(row[name] for row in finished) for name in ("succeeded", "failed", "revoked")]
    assert totals == [succeeded, failed, revoked]
    days = [day for (day,) in query(url, "SELECT DISTINCT day FROM outcomes ORDER BY day")]
    drawn = [row["time"].astimezone(dt.UTC) for row in finished]
    assert [f"{time:%Y-%m-%d %H}" for time in drawn] == [f"{day} 00" for day in days]
    _, only = rows_of(url, "Tasks finished per day", types=["transcription"])
    assert 0 < sum(row["succeeded"] for row in only) < succeeded
    _, created = rows_of(url, "Tasks created per day")
    assert (
        sum(row["value"] for row in created)
        == query(url, "SELECT sum(tasks) FROM task_daily WHERE day IS NOT NULL")[0][0]
    )
    _, minutes = rows_of(url, "Processing minutes per day")
    ((processed,),) = query(url, "SELECT sum(processed_minutes) FROM minutes_daily")
    assert sum(row["succeeded"] + row["other"] for row in minutes) == pytest.approx(processed)
    ((succeeded,),) = query(url, "SELECT sum(succeeded_minutes) FROM minutes_daily")
    assert sum(row["succeeded"] for row in minutes) == pytest.approx(succeeded)
    for title, view in {"In flight": "in_flight", "Stalled": "stalls"}.items():
        assert list(rows_of(url, title)[1][0].values()) == [query(url, f"SELECT count(*) FROM {view}")[0][0]]
    kinds = {row["error_kind"]: row["tasks"] for row in rows_of(url, "Failures by kind of error")[1]}
    expected = query(
        url, "SELECT coalesce(error_kind, 'unknown'), sum(tasks) FROM failure_kinds GROUP BY error_kind"
    )
    assert kinds == dict(expected)
    assert {"", "long " * 15 + "long"[:3]} < set(kinds)
    _, spans = rows_of(url, "Wait and processing times")
    for column, view in {"ran": "task_durations", "waited": "task_waits"}.items():
        counted = query(url, f"SELECT task_name, category, n FROM {view}")
        shown = [(row["task_name"], row["category"], row[column]) for row in spans if row[column] is not None]
        assert sorted(shown, key=repr) == sorted(counted, key=repr)
    assert len(spans) == len({(row["task_name"], row["category"]) for row in spans})


def test_the_dashboard_is_consistent():
    assert len(set(TITLES)) == len(TITLES)
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert all(panel["description"] for panel in PANELS)
    for panel in PANELS:
        for each in (panel, *panel["targets"]):
            assert each["datasource"] == {"type": "grafana-postgresql-datasource", "uid": "${datasource}"}
    for one, other in itertools.combinations([panel["gridPos"] for panel in PANELS], 2):
        is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert is_beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)
    read = {name for name in views.NAMES if re.search(rf"\b{name}\b", json.dumps(PANELS))}
    assert read >= {"freshness", "outcomes", "task_daily", "minutes_daily", "failures", "stalls", "in_flight"}


def test_type_variable_lists_all_task_types(url):
    (variable,) = [each for each in DASHBOARD["templating"]["list"] if each["name"] == "type"]
    assert query(url, variable["query"]) == [("content-moderation",), ("transcription",), ("unknown",)]


def blocks(page: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return [
        re.sub(r"^ {3}", "", block, flags=re.MULTILINE)
        for block in re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    ]


@pytest.mark.parametrize("page", ["grafana.md", "metabase.md"])
def test_every_statement_on_the_page_runs(url, page):
    engine = open_engine(url)
    with engine.connect() as connection:
        for block in blocks(page):
            filled = re.sub(r"\[\[(.*?)\]\]", r"\1", block)
            filled = filled.replace("{{since}}", "DATE '2026-06-01'").replace("{{type}}", "'transcription'")
            for text in {re.sub(r"\[\[.*?\]\]", "", block), filled}:
                result = connection.execute(sa.text(text))
                assert not result.returns_rows or result.all()
        role = page.removesuffix(".md")
        connection.execute(sa.text(f"SET LOCAL ROLE {role}"))
        assert connection.scalar(sa.text("SELECT count(*) FROM task_timeline")) > 0
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
            connection.execute(sa.text("DELETE FROM tasks"))
        connection.rollback()
    engine.dispose()
