"""The report in a real browser: correct figures, and accessible."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np
import pytest
import sqlalchemy as sa
from axe_playwright_python.sync_playwright import Axe
from support.browser import chromium
from support.grids import one_in
from support.stored import as_instant, store_task
from support.worlds import query, sync_while_it_changes

from etl.database import open_engine
from etl.models import RESULTS
from etl.report import report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page


HOSTILE = "https://h.example/</td><script>hacked=1</script><img src=x onerror=hacked=1>?a=$1$&b={{7*7}}"

# A bell, an escape sequence, a form feed, a C1 control character, and bidirectional overrides.
ILLEGIBLE = "\x07\x1b[31m\x0c\x9b\u202e\u2066"

DAY = dt.timedelta(days=1)

FINAL = ("SUCCESS", "FAILURE", "REVOKED")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def url(request) -> Iterator[str]:
    """Sync a changing world; add tasks with hostile texts, and one without a known wait."""
    databases = request.getfixturevalue(f"{request.param}_databases")
    with databases.migrated() as url:
        world = sync_while_it_changes(url, max_results=200)
        engine = open_engine(url)
        with engine.begin() as connection:
            hostile = {"url": HOSTILE, "task_name": HOSTILE, "audio_language": HOSTILE}
            store_task(connection, HOSTILE, status="FAILURE", completed_at=world.now, **hostile)
            # Only the latest possible creation time is known, so the wait is unknown.
            times = {"created_before": world.now - 5 * DAY, "started_at": world.now - 4 * DAY}
            store_task(connection, "waited", status="STARTED", **times)
            connection.execute(sa.insert(RESULTS).values(task_id=HOSTILE, state="archived", error=HOSTILE))
            store_task(connection, "i", status="FAILURE", completed_at=world.now, client_user_id=ILLEGIBLE)
            connection.execute(sa.insert(RESULTS).values(task_id="i", state="archived", error=ILLEGIBLE))
        engine.dispose()
        yield url


@pytest.fixture(scope="module")
def days(url) -> tuple[dt.date, dt.date]:
    """Return a range: all days except the first and the last two."""
    ends = sorted(task["ended_at"].date() for task in tasks_of(url) if task["ended_at"])
    return ends[0] + DAY, ends[-1] - DAY


@pytest.fixture(scope="module", params=["whole", "part"])
def bounds(request, url, days) -> tuple[dt.date, dt.date]:
    if request.param == "part":
        return days
    every = [day for task in tasks_of(url) for day in (task["created_at"], task["ended_at"]) if day]
    return min(every).date(), max(every).date() + DAY


@pytest.fixture(scope="module")
def file(url, bounds, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(report(url, since=bounds[0], until=bounds[1]), encoding="utf-8")
    return path


@pytest.fixture
def page(browser, file) -> Iterator[Page]:
    """Open the page at desktop size; console messages and network requests fail the test."""
    with watched(browser, file, viewport={"width": 1200, "height": 900}) as page:
        yield page


@contextlib.contextmanager
def watched(browser, file, **options) -> Iterator[Page]:
    complaints = []
    with contextlib.closing(browser.new_context(**options)) as context:
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url))
        page.goto(file.as_uri())
        complaints.remove(file.as_uri())
        yield page
        assert [each for each in complaints if each != "data:,"] == []


def tasks_of(url) -> list[dict[str, object]]:
    """Return every task, read from the tables, with its estimated creation time."""
    names = (
        "task_id task_name category status audio_language url created_at wait_seconds seconds ended_at error"
    )
    rows = query(
        url,
        "SELECT tasks.task_id, tasks.task_name, tasks.category, tasks.status, audio_language, url,"
        " created_at, wait_seconds, duration_seconds,"
        " coalesce(tasks.completed_at, changed_at),"
        " error FROM tasks JOIN task_timeline ON task_timeline.task_id = tasks.task_id"
        " LEFT JOIN task_results ON task_results.task_id = tasks.task_id",
    )
    tasks = [dict(zip(names.split(), row, strict=True)) for row in rows]
    for task in tasks:
        task["created_at"] = as_instant(task["created_at"])
        task["ended_at"] = as_instant(task["ended_at"]) if task["status"] in FINAL else None
    return tasks


def within(tasks, column, bounds):
    return [task for task in tasks if task[column] and bounds[0] <= task[column].date() < bounds[1]]


def figures(page) -> dict[str, str]:
    found = page.locator("[data-figure]")
    return {each.get_attribute("data-figure"): each.inner_text() for each in found.element_handles()}


def table(page, name) -> list[list[str]]:
    """Return the cells of a table, even if it is collapsed."""
    return page.eval_on_selector_all(
        f'[data-table="{name}"] tr', "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )


def spell(seconds) -> str:
    if seconds is None:
        return "\N{EN DASH}"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} s"


def share(tasks) -> str:
    counts = Counter(task["status"] for task in tasks)
    ended = counts["SUCCESS"] + counts["FAILURE"]
    return f"{100 * counts['SUCCESS'] / ended:.1f}%" if ended else "\N{EN DASH}"


def type_of(task) -> str:
    return ", ".join(filter(None, (task["task_name"] or "unknown", task["category"])))


def host_of(task) -> str:
    return urlsplit(task["url"] or "").hostname or "unknown"


def test_summary_matches_sql(page, url, bounds):
    tasks = tasks_of(url)
    created, finished = within(tasks, "created_at", bounds), within(tasks, "ended_at", bounds)
    counts = Counter(task["status"] for task in finished)
    minutes = [(task["seconds"] / 60, task["status"]) for task in finished if task["seconds"] is not None]
    waits = [task["wait_seconds"] for task in created if task["wait_seconds"] is not None]
    runs = [task["seconds"] for task in created if task["seconds"] is not None]
    ((synced,),) = query(
        url, "SELECT max(started_at) FROM sync_runs WHERE status = 'succeeded' AND mode <> 'partial'"
    )
    ((in_flight,),) = query(
        url,
        "SELECT count(*) FROM tasks WHERE removed_at IS NULL AND (status IS NULL OR status NOT IN"
        " ('SUCCESS', 'FAILURE', 'REVOKED'))",
    )
    ((stalled,),) = query(url, "SELECT count(*) FROM stalls")
    ((expiring,),) = query(url, "SELECT count(*) FROM results_expiring WHERE days_left BETWEEN 0 AND 7")
    assert counts["FAILURE"] > 0
    assert figures(page) == {
        "synced_at": str(synced)[:19],
        "created": f"{len(created):,}",
        "finished": f"{len(finished):,}",
        "success_rate": share(finished),
        "failed": f"{counts['FAILURE']:,}",
        "revoked": f"{counts['REVOKED']:,}",
        "wait_p50": spell(np.percentile(waits, 50) if waits else None),
        "run_p50": spell(np.percentile(runs, 50)),
        "processed_minutes": f"{sum(each for each, _ in minutes):,.1f}",
        "succeeded_minutes": f"{sum(each for each, status in minutes if status == 'SUCCESS'):,.1f}",
        "in_flight": f"{in_flight:,}",
        "stalled": f"{stalled:,}",
        "expiring_soon": f"{expiring:,}",
    }
    notes = page.locator(".figure small").all_inner_texts()
    assert f"p95: {spell(np.percentile(runs, 95))}; n = {len(runs):,}" in notes
    if waits:
        assert f"p95: {spell(np.percentile(waits, 95))}; n = {len(waits):,}" in notes


def test_daily_plots_and_tables_match_sql(page, url, bounds):
    tasks = tasks_of(url)
    days = [bounds[0] + number * DAY for number in range((bounds[1] - bounds[0]).days)]
    rows = {"finished": [], "rate": [], "created": [], "minutes": []}
    for day in days:
        created = within(tasks, "created_at", (day, day + DAY))
        finished = within(tasks, "ended_at", (day, day + DAY))
        counts = Counter(task["status"] for task in finished)
        ran = [task for task in finished if task["seconds"] is not None]
        succeeded = sum(task["seconds"] for task in ran if task["status"] == "SUCCESS")
        numbers = {
            "finished": (len(finished), *(counts[status] for status in FINAL)),
            "rate": (counts["SUCCESS"], counts["FAILURE"]),
            "created": (len(created),),
        }
        for name, each in numbers.items():
            rows[name].append([str(day), *(f"{number:,}" for number in each)])
        processed = sum(task["seconds"] for task in ran)
        rows["minutes"].append([str(day), *(f"{number / 60:,.1f}" for number in (processed, succeeded))])
    for name, expected in rows.items():
        assert table(page, name) == expected, name
    heights = page.eval_on_selector_all(
        'figure:has([data-table="created"]) svg path[style*="--first"]',
        "bars => bars.map(bar => bar.getBBox().height)",
    )
    values = np.array([int(row[1].replace(",", "")) for row in rows["created"]])
    assert np.allclose(np.array(heights) / max(heights), values / max(values), atol=0.01)


def test_breakdown_tables_match_sql(page, url, bounds):
    tasks = tasks_of(url)
    created, finished = within(tasks, "created_at", bounds), within(tasks, "ended_at", bounds)
    types, hosts, languages, errors = (defaultdict(list) for _ in range(4))
    for task in finished:
        types[type_of(task)].append(task)
        hosts[host_of(task)].append(task)
        if task["task_name"] == "transcription":
            languages[task["audio_language"] or "automatic detection"].append(task)
        if task["status"] == "FAILURE":
            known = (task["error"] or "").split(":")[0][:80].strip(" ")
            known = known.replace(ILLEGIBLE, "\ufffd\ufffd[31m" + 4 * "\ufffd")
            errors[known or "unknown: the result is not archived"].append(task)
    made = Counter(map(type_of, created))
    for name, *cells in table(page, "types"):
        failed = sum(task["status"] == "FAILURE" for task in types[name])
        runs = [task["seconds"] for task in created if type_of(task) == name and task["seconds"] is not None]
        half, most = np.percentile(runs, [50, 95]) if runs else (None, None)
        succeeded = sum(task["seconds"] or 0 for task in types[name] if task["status"] == "SUCCESS") / 60
        assert cells[:4] == [f"{n:,}" for n in (made[name], len(types[name]), failed)] + [share(types[name])]
        assert cells[6:] == [spell(half), spell(most), f"{succeeded:,.1f}"]
    assert {row[0] for row in table(page, "types")} == {*types, *made}
    for which, expected in (("hosts", hosts), ("languages", languages)):
        shown = table(page, which)
        lines = {
            name: [
                f"{len(each):,}",
                f"{sum(task['status'] == 'FAILURE' for task in each):,}",
                share(each),
            ]
            for name, each in expected.items()
        }
        assert {name: cells for name, *cells in shown} == lines if len(lines) <= 20 else len(shown) == 20
        numbers = [int(row[1]) for row in shown]
        assert numbers == sorted(numbers, reverse=True)
    assert {name: number for name, number, _ in table(page, "errors")} == {
        name: f"{len(each):,}" for name, each in errors.items()
    }
    failed = sorted(
        (task for task in finished if task["status"] == "FAILURE"), key=lambda task: task["ended_at"]
    )
    assert [row[0] for row in table(page, "failures")] == [
        f"{task['ended_at']:%Y-%m-%d %H:%M:%S}" for task in failed[::-1][:20]
    ]


def test_moderation_table_matches_sql(page, url, bounds):
    rows = query(
        url,
        "SELECT kind, count(*), sum(CASE WHEN detected THEN 1 ELSE 0 END) FROM task_results"
        " JOIN tasks ON tasks.task_id = task_results.task_id WHERE state = 'archived'"
        " AND detected IS NOT NULL AND coalesce(completed_at, changed_at) >= :since"
        " AND coalesce(completed_at, changed_at) < :until GROUP BY kind",
        since=f"{bounds[0]} 00:00:00.000000" if url.startswith("sqlite") else bounds[0],
        until=f"{bounds[1]} 00:00:00.000000" if url.startswith("sqlite") else bounds[1],
    )
    assert sorted(table(page, "findings")) == sorted(
        [kind, f"{n:,}", f"{found:,}"] for kind, n, found in rows
    )
    assert rows


def test_hostile_text_is_escaped(page, bounds, days):
    assert page.evaluate("typeof hacked") == "undefined"
    assert page.locator("script").count() == 0
    assert page.locator("img").count() == 0
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2066]", page.content())
    if bounds != days:
        assert [cell for row in table(page, "failures") for cell in row].count(HOSTILE) == 3


# The layout does not depend on the database.
@pytest.mark.parametrize("url, bounds", [("sqlite", "whole")], indirect=True)
@one_in(2, "scheme, width", ["light", "dark"], [320, 375, 1200])
def test_report_is_accessible_at_all_widths_and_color_schemes(browser, file, width, scheme):
    with watched(browser, file, viewport={"width": width, "height": 800}, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == width
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(13, 17, 23)")
        sizes = page.eval_on_selector_all(
            "svg text", "texts => texts.map(text => text.getBoundingClientRect().height)"
        )
        assert min(sizes) >= 8
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def test_report_is_usable_from_keyboard(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the figures"
    summary = page.locator("summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert page.locator("details").first.get_attribute("open") is not None
    assert page.locator('[data-table="finished"]').is_visible()


def test_screen_reader_sees_headings_figures_and_plots(page):
    heard = page.locator("body").aria_snapshot()
    for expected in (
        'heading "Gcore AI tasks" [level=1]',
        'heading "Failures" [level=2]',
        'img "Tasks finished per day"',
        "term: success rate",
    ):
        assert expected in heard
    assert re.search(r"definition:\n\s*- strong: [\d.]+%", heard)


def test_report_is_printable(page):
    page.emulate_media(media="print")
    assert not page.locator("summary").first.is_visible()
    assert page.locator("svg").first.is_visible()
    assert page.pdf().startswith(b"%PDF")


def test_empty_database_is_reported_as_empty(migrated_url, browser, tmp_path):
    file = tmp_path / "empty.html"
    file.write_text(report(migrated_url), encoding="utf-8")
    with watched(browser, file) as page:
        shown = figures(page)
        assert shown.pop("success_rate") == shown.pop("wait_p50") == shown.pop("run_p50") == "\N{EN DASH}"
        assert set(shown.values()) == {"0", "0.0"}
        assert "No sync has succeeded yet" in page.inner_text("header")
        assert "No task failed in this period." in page.inner_text("main")


def test_page_explains_its_figures(page):
    shown = page.inner_text("body")
    assert "bill" not in shown.replace("Gcore bills by the length of the analysed videos", "")
    assert "not the length of the videos" in shown
    (languages,) = page.locator(
        '[aria-label="Transcriptions by requested language, as a table"] th'
    ).all_inner_texts()[:1]
    assert languages == "requested language of transcriptions"
    heads = page.locator('table:has([data-table="findings"]) thead th').all_inner_texts()
    assert heads == ["kind", "tasks", "with detections"]
