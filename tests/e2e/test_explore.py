"""`gcore-etl explore` as a process, over a socket and in a browser."""

from __future__ import annotations

import contextlib
import functools
import html
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

import httpx
import pytest
from datasette.utils import tilde_encode
from support.browser import chromium
from support.commands import error_of
from support.processes import PATIENCE, start_command, wait_until
from support.stored import store_task
from support.worlds import query, sync_while_it_changes

from etl import queries
from etl.catalog import list_catalog
from etl.database import open_engine, reading
from etl.explore.site import FACETS
from etl.explore.task_pages import RELATED_TABLES
from etl.search import search

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUESTIONS = queries.saved_queries()
RELATIONS = list_catalog()
HOSTILE = "a/<b>&~?%"
# There is no TLS here, and loading certificates takes long.
fetch = functools.partial(httpx.get, verify=False, timeout=PATIENCE)


@contextlib.contextmanager
def exploring(url: str, host: str = "127.0.0.1") -> Iterator[tuple[str, Any]]:
    """Start the command; yield the address it prints, and the process."""
    with start_command({}, "explore", "--no-open", "--host", host, "--port", "0", "-d", url) as process:
        try:
            said = process.stderr.readline()
            assert said.startswith("Datasette is running at http://"), said + process.stderr.read()
            yield said.split()[4].rstrip("/;"), process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def copy(sqlite_databases, tmp_path_factory) -> Path:
    """Return a database with an odd file name."""
    with sqlite_databases.migrated() as url:
        sync_while_it_changes(url)
        engine = open_engine(url)
        with engine.begin() as connection:
            store_task(connection, HOSTILE, status="FAILURE", url="javascript:alert(1)")
        engine.dispose()
        path = tmp_path_factory.mktemp("explore") / "tasks 100%?#.db"
        shutil.copyfile(str(engine.url.database), path)
    return path


@pytest.fixture(scope="module")
def url(copy) -> str:
    return f"sqlite:///{quote(str(copy))}"


@pytest.fixture(scope="module")
def base(url) -> Iterator[str]:
    with exploring(url) as (address, _):
        (database,) = fetch(f"{address}/-/databases.json").json()
        yield f"{address}{fetch(f'{address}/.json').json()[database['name']]['path']}"


def rows_of(address: str, **parameters: object) -> list[list[Any]]:
    answer = fetch(address, params={"_shape": "arrays", "_size": "max", **parameters})
    assert answer.status_code == 200, answer.text
    return answer.json()["rows"]


@pytest.mark.parametrize("question", QUESTIONS, ids=queries.NAMES)
def test_saved_queries_match_sql(base, url, question):
    assert question.title in fetch(f"{base}/{question.name}").text
    assert rows_of(f"{base}/{question.name}.json") == [
        list(row) for row in query(url, question.sql["sqlite"])
    ]


@pytest.mark.parametrize("relation", RELATIONS, ids=[each.name for each in RELATIONS])
def test_tables_and_views_have_description_and_facets(base, relation):
    assert relation.comment.splitlines()[0] in " ".join(
        fetch(f"{base}/{relation.name}").text.replace("&#39;", "'").splitlines()
    )
    answer = fetch(f"{base}/{relation.name}.json", params={"_size": 1}).json()
    assert answer["columns"] == list(relation.columns)
    assert set(answer["facet_results"]) == set(FACETS.get(relation.name, []))


def test_search_page_matches_search_command(base, url):
    with reading(url) as connection:
        hits = search(connection, "GROSSE mus*", limit=50)
    expected = [(hit.task_id, hit.start_seconds, hit.snippet) for hit in hits]
    assert len(expected) > 1
    found = rows_of(f"{base}/search.json", words="GROSSE mus*")
    assert [tuple(row[:3]) for row in found] == expected
    parts = rows_of(f"{base}/transcript_parts.json", _search="GROSSE mus*")
    assert {task_id for _, task_id, _ in parts} == {task_id for task_id, *_ in expected}
    assert rows_of(f"{base}.json", sql="SELECT search_transcripts(1.5), search_transcripts(NULL)")
    for nothing in ("", "?!", '"', "zyzzyva"):
        assert rows_of(f"{base}/search.json", words=nothing) == []
        assert nothing != "zyzzyva" or rows_of(f"{base}/transcript_parts.json", _search=nothing) == []


@pytest.mark.parametrize(
    "statement", ["DELETE FROM tasks", "WITH t AS (SELECT 1) DELETE FROM tasks", "PRAGMA user_version = 5"]
)
def test_write_statements_are_rejected(base, url, statement):
    assert fetch(f"{base}.json", params={"sql": statement}).status_code == 400
    assert query(url, "SELECT count(*) > 0 FROM tasks") == [(1,)]


def test_task_ids_are_links_and_hostile_text_is_escaped(base):
    page = fetch(f"{base}/failures", params={"task_id": HOSTILE}).text
    assert "a/&lt;b&gt;&amp;~?%</a>" in page
    link = page.split("/tasks/", 1)[1].split('"')[0]
    assert rows_of(f"{base}/tasks/{link}.json")[0][0] == HOSTILE
    assert 'href="javascript:' not in page


def test_task_page_links_to_related_rows(base, url):
    ((task_id,), *_) = query(
        url, "SELECT task_id FROM subtitles GROUP BY task_id ORDER BY count(*) DESC, task_id LIMIT 1"
    )
    for each in (task_id, HOSTILE):
        page = fetch(f"{base}/tasks/{tilde_encode(each)}").text
        for table in RELATED_TABLES:
            ((expected,),) = query(url, f"SELECT count(*) FROM {table} WHERE task_id = :id", id=each)
            ((link, shown),) = re.findall(rf'<a href="([^"]*)">{table}</a>: ([\d,]+) rows?<', page)
            assert int(shown.replace(",", "")) == expected
            address = urljoin(base, html.unescape(link)).replace("?", ".json?")
            rows = fetch(f"{address}&_shape=arrays&_size=max").json()["rows"]
            assert len(rows) == expected
            assert all(each in row for row in rows)
    assert "Related rows" not in fetch(f"{base}/sync_runs/1").text


def test_tasks_are_sorted_newest_first(base, url):
    started = [row[0] for row in query(url, "SELECT started_at FROM tasks WHERE started_at IS NOT NULL")]
    shown = fetch(f"{base}/tasks.json", params={"_shape": "objects", "_size": 50}).json()["rows"]
    assert [row["started_at"] for row in shown] == sorted(started, reverse=True)[:50]


def test_subtitle_start_links_to_video_position(base, url):
    task_id, position, start, video = query(
        url,
        "SELECT subtitles.task_id, position, start_seconds, url FROM subtitles"
        " JOIN tasks ON tasks.task_id = subtitles.task_id WHERE start_seconds > 10 AND url LIKE 'http%'"
        " ORDER BY 1, 2 LIMIT 1",
    )[0]
    link = f'<a href="{video}#t={int(start)}">0:00:{int(start):02}</a>'
    assert link in html.unescape(fetch(f"{base}/subtitles", params={"task_id": task_id}).text)
    assert link in html.unescape(fetch(f"{base}/subtitles/{task_id},{position}").text)
    with reading(url) as connection:
        hit = search(connection, "grosse mussen", limit=1)[0]
    page = html.unescape(fetch(f"{base}/search", params={"words": "grosse mussen"}).text)
    whole = int(hit.start_seconds)
    assert f'<a href="{hit.url}#t={whole}">0:00:{whole:02}</a>' in page


@pytest.mark.parametrize(
    "select, shown",
    [
        (
            "3725.9 AS start_seconds, 'https://x/v.mp4#old' AS url",
            '<a href="https://x/v.mp4#t=3725">1:02:05</a>',
        ),
        ("14 AS start_seconds, 'https://x/?a=1&b=\"' AS url", 'x/?a=1&amp;b=&#34;#t=14">0:00:14</a>'),
        ("14 AS start_seconds, 'javascript:alert(1)' AS url", ">0:00:14</td>"),
        ("14 AS start_seconds, NULL AS url", ">0:00:14</td>"),
        ("14 AS start_seconds, 'no such task' AS task_id", ">0:00:14</td>"),
        ("14 AS start_seconds", ">0:00:14</td>"),
        ("'<b>' AS start_seconds", ">&lt;b&gt;</td>"),
        ("9e999 AS start_seconds", ">inf</td>"),
        ("-1.5 AS start_seconds, 'HTTP://x/' AS url", '<a href="HTTP://x/#t=0">0:00:00</a>'),
    ],
)
def test_start_seconds_of_any_value_is_rendered(base, select, shown):
    page = fetch(base, params={"sql": f"SELECT {select}"}).text
    assert shown in re.sub(r">\s+|\s+<", lambda gap: gap[0].strip(), page)
    assert 'href="javascript:' not in page


def test_search_in_browser_leads_to_task(base):
    with chromium() as browser:
        page = browser.new_page()
        complaints = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(base)
        page.get_by_role("link", name="Search the transcripts").click()
        page.get_by_role("textbox", name="words").fill("grosse mussen")
        page.get_by_role("button", name="Run SQL").click()
        assert "[Größe] [müssen]" in page.locator("table").inner_text()
        link = page.locator("td.col-task_id a").first
        task_id = link.inner_text()
        link.click()
        assert task_id in page.locator("h1").inner_text()
        assert complaints == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_explore_without_output_or_files(copy, tmp_path, number):
    shutil.copyfile(copy, tmp_path / "tasks.db")
    with exploring(f"sqlite:///{tmp_path}/tasks.db") as (address, process):
        assert len(rows_of(f"{address}/tasks/tasks.json")) > 0
        assert len(list(tmp_path.iterdir())) > 1
        assert fetch(f"{address}/").status_code == 200
        assert fetch(f"{address}/-/no-such-page").status_code == 404
        process.send_signal(number)
        assert process.wait(PATIENCE) == 128 + number
        assert process.stdout.read() == process.stderr.read() == ""
    assert [each.name for each in tmp_path.iterdir()] == ["tasks.db"]


def is_busy(address: str) -> bool:
    """Return whether all threads are busy, so that even a fast query waits."""
    try:
        httpx.get(f"{address}/tasks.json", params={"sql": "SELECT 1"}, timeout=0.5)
    except httpx.ReadTimeout:
        return True
    return False


def test_slow_queries_do_not_delay_shutdown(copy, tmp_path):
    shutil.copyfile(copy, tmp_path / "tasks.db")
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with exploring(f"sqlite:///{tmp_path}/tasks.db") as (address, process), ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(fetch, f"{address}/tasks.json", params={"sql": endless})
        wait_until(lambda: is_busy(address), "every thread is at a query that does not end")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 128 + signal.SIGTERM
        assert process.stdout.read() == process.stderr.read() == ""
    assert [each.name for each in tmp_path.iterdir()] == ["tasks.db"]


def test_explore_listens_on_ipv6_if_available(nursery, url):
    if not socket.has_dualstack_ipv6():
        done = nursery.run(dict(os.environ), "explore", "--no-open", "--host", "::1", "-d", url)
        assert "choose another --host" in error_of(done, 3)
        return
    with exploring(url, "[::1]") as (address, _):
        assert address.startswith("http://[::1]:")
        assert fetch(f"{address}/").status_code == 200


def test_startup_errors_are_one_line(nursery, url, tmp_path, postgres_databases):
    def run(*arguments: str, on: str) -> Any:
        return nursery.run(dict(os.environ), "explore", "--no-open", *arguments, "-d", on)

    with postgres_databases.migrated() as postgres:
        assert "docs/grafana.md" in error_of(run(on=postgres), 3)
    assert "run gcore-etl sync first" in error_of(run(on=f"sqlite:///{tmp_path}/none.db"), 4)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        assert "choose another --port" in error_of(run("--port", port, on=url), 3)
    assert "'--host': must not be empty" in error_of(run("--host", "", on=url), 2)
    for host in ("no.such.host.invalid", "192.0.2.1", "a" * 100):
        assert f"cannot listen on {host}, port" in (said := error_of(run("--host", host, on=url), 3))
        assert "choose another --host" in said


def test_missing_extra_is_named():
    without = "import sys; sys.modules['datasette'] = None; from etl.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", without, "explore"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "explore needs packages that are not installed: run pip install" in done.stderr
    assert "[explore]" in done.stderr
