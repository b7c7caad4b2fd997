"""`gcore-etl explore`, as a process of its own, over a real socket and in a real browser."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click
import httpx
import pytest
from support.browser import chromium
from support.commands import error_of
from support.processes import PATIENCE, start_command, wait_until
from support.stored import store_task
from support.worlds import query, sync_while_it_changes

from etl import questions
from etl.cli import explore as command
from etl.database import open_engine, reading
from etl.explore.site import FACETS
from etl.frames.describing import describe
from etl.search import search

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUESTIONS = questions.questions()
RELATIONS = describe()
HOSTILE = "a/<b>&~?%"
# There is no TLS here, and loading the certificates for it takes long.
fetch = functools.partial(httpx.get, verify=False, timeout=PATIENCE)


@contextlib.contextmanager
def exploring(url: str, host: str = "127.0.0.1") -> Iterator[tuple[str, Any]]:
    """Run the command; give the address it says, and the process."""
    with start_command({}, "explore", "--no-open", "--host", host, "--port", "0", "-d", url) as process:
        try:
            said = process.stderr.readline()
            assert said.startswith("The copy is at http://"), said + process.stderr.read()
            yield said.split()[4].rstrip("/;"), process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def copy(sqlite_databases, tmp_path_factory) -> Path:
    """Give a file that only its own name could make a trouble."""
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


@pytest.mark.parametrize("question", QUESTIONS, ids=questions.NAMES)
def test_each_canned_query_is_served_and_answers_what_sql_answers(base, url, question):
    assert question.title in fetch(f"{base}/{question.name}").text
    assert rows_of(f"{base}/{question.name}.json") == [
        list(row) for row in query(url, question.sql["sqlite"])
    ]


@pytest.mark.parametrize("relation", RELATIONS, ids=[each.name for each in RELATIONS])
def test_each_table_and_view_is_there_described_and_facetted(base, relation):
    assert relation.comment.splitlines()[0] in " ".join(
        fetch(f"{base}/{relation.name}").text.replace("&#39;", "'").splitlines()
    )
    answer = fetch(f"{base}/{relation.name}.json", params={"_size": 1}).json()
    assert answer["columns"] == list(relation.columns)
    assert set(answer["facet_results"]) == set(FACETS.get(relation.name, []))


def test_search_finds_what_the_command_finds(base, url):
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
def test_nothing_can_be_written(base, url, statement):
    assert fetch(f"{base}.json", params={"sql": statement}).status_code == 400
    assert query(url, "SELECT count(*) > 0 FROM tasks") == [(1,)]


def test_a_task_is_a_click_away_and_hostile_text_stays_text(base):
    page = fetch(f"{base}/failures", params={"task_id": HOSTILE}).text
    assert "a/&lt;b&gt;&amp;~?%</a>" in page
    link = page.split("/tasks/", 1)[1].split('"')[0]
    assert rows_of(f"{base}/tasks/{link}.json")[0][0] == HOSTILE
    assert 'href="javascript:' not in page


def test_a_person_finds_what_was_said_and_goes_to_its_task(base):
    with chromium() as browser:
        page = browser.new_page()
        complaints = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(base)
        page.get_by_role("link", name="What was said, when, and in which video?").click()
        page.get_by_role("textbox", name="words").fill("grosse mussen")
        page.get_by_role("button", name="Run SQL").click()
        assert "[Größe] [müssen]" in page.locator("table").inner_text()
        link = page.locator("td.col-task_id a").first
        task_id = link.inner_text()
        link.click()
        assert task_id in page.locator("h1").inner_text()
        assert complaints == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_at_a_signal_without_a_word_or_a_trace(copy, tmp_path, number):
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
    """Tell whether no thread is left for a query that takes no time."""
    try:
        httpx.get(f"{address}/tasks.json", params={"sql": "SELECT 1"}, timeout=0.5)
    except httpx.ReadTimeout:
        return True
    return False


def test_a_slow_query_does_not_hold_up_the_end(copy, tmp_path):
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


def test_it_listens_by_ipv6_where_there_is_any(nursery, url):
    if not socket.has_dualstack_ipv6():
        done = nursery.run(dict(os.environ), "explore", "--no-open", "--host", "::1", "-d", url)
        assert "choose another --host" in error_of(done, 3)
        return
    with exploring(url, "[::1]") as (address, _):
        assert address.startswith("http://[::1]:")
        assert fetch(f"{address}/").status_code == 200


def test_it_says_in_one_line_what_is_in_the_way(nursery, url, tmp_path, postgres_databases):
    def run(*arguments: str, on: str) -> Any:
        return nursery.run(dict(os.environ), "explore", "--no-open", *arguments, "-d", on)

    with postgres_databases.migrated() as postgres:
        assert "docs/grafana.md" in error_of(run(on=postgres), 3)
    assert "run gcore-etl sync first" in error_of(run(on=f"sqlite:///{tmp_path}/none.db"), 4)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        assert "choose another --port" in error_of(run("--port", port, on=url), 3)
    assert "--host is empty" in error_of(run("--host", "", on=url), 2)
    for host in ("no.such.host.invalid", "192.0.2.1", "a" * 100):
        assert f"cannot listen on {host}, port" in (said := error_of(run("--host", host, on=url), 3))
        assert "choose another --host" in said


def test_it_says_which_extra_is_missing(monkeypatch):
    def import_module(_name):
        raise ModuleNotFoundError(name="datasette")

    monkeypatch.setattr(command.importlib, "import_module", import_module)
    with pytest.raises(click.ClickException, match=r"exploring needs datasette: pip install '.*\[explore\]'"):
        command._import("etl.explore")
