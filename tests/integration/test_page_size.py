"""The maximum page size is not documented: a sync detects it, however the server refuses larger pages."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from support.grids import one_in
from support.worlds import a_world, query, settings_for, stored_states, true_states

from etl.emulator import Behaviour, Fault, serve
from etl.errors import BodyTooLarge, RequestRefused, Unreachable
from etl.extract.body import BodyLimit
from etl.extract.client import TOO_LARGE
from etl.sync.api import run_sync
from etl.sync.doctor import examine
from etl.sync.options import SyncOptions
from etl.sync.run import utc_now

if TYPE_CHECKING:
    from etl.emulator.behaviour import RequestInfo

TASKS_ALONE = SyncOptions(with_results=False)
FULL = SyncOptions(is_full=True, with_results=False)


def asked_sizes(emulator) -> list[int]:
    return [int(request.query["limit"]) for request in emulator.requests if "limit" in request.query]


REFUSALS = [400, 404, 413, 414, 422, 500, 503, "empty"]


@one_in(3, "refusal, meaning", REFUSALS, ["gte", "day", "ignored"])
def test_refused_page_size_is_halved_and_remembered(database_url, caplog, refusal, meaning):
    world = a_world(150)
    behaviour = Behaviour(page_limit=40, page_refusal=refusal, date_created=meaning)
    with serve(world, behaviour) as emulator:
        settings = settings_for(emulator, database_url, page_size=100, retry_for=dt.timedelta(seconds=1))
        run_sync(settings, TASKS_ALONE)
        assert stored_states(database_url) == true_states(world)
        assert caplog.text.count("refuses pages of 100 tasks") == 1
        assert "reading pages of 25 from now on" in caplog.text
        caplog.clear()
        for options in (TASKS_ALONE, FULL):
            emulator.reset_log()
            world.advance(dt.timedelta(minutes=20))
            run_sync(settings, options)
            assert max(asked_sizes(emulator)) <= 25
            assert stored_states(database_url) == true_states(world)
        assert "refuses pages" not in caplog.text
    assert query(database_url, "SELECT max_page_size FROM sync_state") == [(25,)]


def test_lowered_page_limit_is_detected_between_and_during_syncs(database_url):
    world = a_world(200)
    with serve(world, Behaviour(page_limit=100)) as emulator:
        settings = settings_for(emulator, database_url, page_size=100)
        run_sync(settings, TASKS_ALONE)
        for limit in (70, 30):
            emulator.behaviour.page_limit = limit
            run_sync(settings, FULL)
        assert query(database_url, "SELECT max_page_size FROM sync_state") == [(25,)]

        def lower(_request: object) -> None:
            if len(emulator.requests) == 5:
                emulator.behaviour.page_limit = 9

        emulator.reset_log()
        emulator.behaviour.before_request = lower
        run_sync(settings, FULL)
        assert stored_states(database_url) == true_states(world)
        assert query(database_url, "SELECT max_page_size FROM sync_state") == [(6,)]


def test_larger_page_size_is_retried_after_a_week(database_url):
    world = a_world(150)
    with serve(world, Behaviour(page_limit=40)) as emulator:
        settings = settings_for(emulator, database_url, page_size=100)
        run_sync(settings, TASKS_ALONE)
        emulator.behaviour.page_limit = None
        emulator.reset_log()
        run_sync(settings, FULL)
        assert max(asked_sizes(emulator)) == 25
        world.advance(dt.timedelta(days=8))
        run_sync(settings, FULL)
        assert max(asked_sizes(emulator)) == 100


def test_smaller_configured_page_size_is_kept(database_url):
    with serve(a_world(60), Behaviour(page_limit=40)) as emulator:
        run_sync(settings_for(emulator, database_url, page_size=100), TASKS_ALONE)
        emulator.reset_log()
        run_sync(settings_for(emulator, database_url, page_size=10), FULL)
        assert max(asked_sizes(emulator)) == 10


def test_page_failing_at_every_size_reports_the_server_error(database_url):
    with serve(a_world(60)) as emulator:
        emulator.behaviour.faults.append(Fault("500", times=10_000, after=1))
        with pytest.raises(Unreachable, match="500"):
            run_sync(settings_for(emulator, database_url, retry_for=dt.timedelta(seconds=1)), TASKS_ALONE)
    assert query(database_url, "SELECT max_page_size FROM sync_state") == [(None,)]


def test_failed_sync_keeps_the_page_size_that_it_found(database_url):
    with serve(a_world(150), Behaviour(page_limit=40)) as emulator:

        def fail(_request: object) -> None:
            if asked_sizes(emulator).count(25) == 2:
                emulator.behaviour.faults.append(Fault("500", times=10_000))

        emulator.behaviour.before_request = fail
        settings = settings_for(emulator, database_url, page_size=100, retry_for=dt.timedelta(seconds=1))
        with pytest.raises(Unreachable, match="500"):
            run_sync(settings, TASKS_ALONE)
    assert query(database_url, "SELECT max_page_size FROM sync_state") == [(25,)]


def test_refused_filter_is_not_mistaken_for_a_page_size(database_url):
    """A status that the server does not know costs one more request, not ten."""
    world = a_world(60)
    with serve(world, Behaviour(unknown_status_rejected=True)) as emulator:
        settings = settings_for(emulator, database_url)
        run_sync(settings, SyncOptions(with_results=False))
        emulator.reset_log()
        with pytest.raises(RequestRefused, match="PAUSED"):
            run_sync(settings, SyncOptions(status="PAUSED", with_results=False))
        assert sum(request.query.get("status") == "PAUSED" for request in emulator.requests) == 2
    assert query(database_url, "SELECT max_page_size FROM sync_state") == [(None,)]


@one_in(3, "size, past_end, count", [1, 3, 10, 30, 77], ["empty", "404"], ["ok", "null"])
def test_pages_of_a_fixed_server_size_are_read_twice(database_url, size, past_end, count):
    world = a_world(75)
    behaviour = Behaviour(own_page_size=size, past_end=past_end, count_is=count)
    with serve(world, behaviour) as emulator:
        settings = settings_for(emulator, database_url)
        for options in (TASKS_ALONE, TASKS_ALONE, FULL):
            run_sync(settings, options)
            assert stored_states(database_url) == true_states(world)
            world.advance(dt.timedelta(hours=3))
        emulator.reset_log()
        run_sync(settings, FULL)
        pages = [request.query["page"] for request in emulator.requests if "ordering" in request.query]
        assert pages.count(str(-(-75 // size))) >= (2 if 1 < size < 75 else 1)


@one_in(2, "meaning, past_end", ["gte", "day", "lte", "exact", "ignored"], ["empty", "404"])
def test_404_for_an_empty_list_means_no_tasks(database_url, meaning, past_end):
    world = a_world(40)
    for task in list(world.tasks.values()):
        if task.status not in {"SUCCESS", "FAILURE", "REVOKED"}:
            world.finish(task.task_id)
    with serve(world, Behaviour(empty_list="404", past_end=past_end, date_created=meaning)) as emulator:
        settings = settings_for(emulator, database_url)
        for _ in range(3):
            world.advance(dt.timedelta(hours=5))
            run_sync(settings, TASKS_ALONE)
            assert stored_states(database_url) == true_states(world)
        gone = next(iter(world.tasks))
        world.delete(gone)
        assert run_sync(settings, FULL).removed == 1


@pytest.mark.parametrize(
    "behaviour, words",
    [
        ({}, "pages of 100 tasks are accepted"),
        ({"page_cap": 30}, "the API returns at most 30 tasks per page; 100 were requested"),
        (
            {"page_limit": 30},
            "pages of 100 tasks are refused (the API refused /streaming/ai/tasks (HTTP 400)",
        ),
        ({"page_limit": 30}, "syncs read 25 per page"),
        ({"page_limit": 30, "page_refusal": 422}, "syncs read 25 per page"),
        ({"own_page_size": 10}, "returns 10 tasks per page"),
    ],
)
def test_doctor_reports_the_accepted_page_size(sqlite_databases, behaviour, words):
    with sqlite_databases.empty() as url, serve(a_world(60), Behaviour(**behaviour)) as emulator:
        settings = settings_for(emulator, url, page_size=100)
        details = {finding.name: finding.detail for finding in examine(settings, now=utc_now)}
    assert words in details["pages"]


def test_oversized_page_is_halved_until_it_fits(database_url, monkeypatch):
    monkeypatch.setattr("etl.extract.client.PAGE_LIMIT", BodyLimit(20_000, 1_000_000))
    world = a_world(400)
    with serve(world) as emulator:
        settings = settings_for(emulator, database_url, page_size=200)
        for options in (TASKS_ALONE, FULL):
            emulator.reset_log()
            run_sync(settings, options)
            assert stored_states(database_url) == true_states(world)
            assert len(emulator.requests) < 60


@pytest.mark.parametrize("places", [(0,), (97,), (199,), (97, 98), (0, 1, 2, 150, 199)], ids=str)
def test_oversized_record_is_rejected_alone(database_url, monkeypatch, places):
    monkeypatch.setattr("etl.extract.client.PAGE_LIMIT", BodyLimit(300_000, 1_000_000))
    world = a_world(200)
    large = [sorted(world.tasks)[place] for place in places]
    for task_id in large:
        world.replace_raw(task_id, b'{"task_id":"%b","x":"%b"}' % (task_id.encode(), b" " * 300_000))
    with serve(world) as emulator:
        settings = settings_for(emulator, database_url, page_size=100)
        for options in (TASKS_ALONE, FULL):
            emulator.reset_log()
            summary = run_sync(settings, options)
            assert summary.rejected >= 1
            assert stored_states(database_url).keys() == world.tasks.keys() - set(large)
            # After the record, larger pages are requested again.
            assert len(emulator.requests) < 150 + 70 * len(places)
    [(raw, reason)] = query(database_url, "SELECT raw, reason FROM rejected_records")
    assert raw == TOO_LARGE.decode()
    assert reason.startswith("the response is larger than")


@pytest.mark.parametrize("status", [400, 404, 422])
@pytest.mark.parametrize("place", ["head", "middle"])
def test_oversized_record_is_rejected_even_if_the_server_refuses_pages_past_the_end(
    database_url, monkeypatch, place, status
):
    """Only a page without records can show whether every page is too large; a refusal shows it as well."""
    monkeypatch.setattr("etl.extract.client.PAGE_LIMIT", BodyLimit(300_000, 1_000_000))
    world = a_world(60)
    head = max(filter(lambda task: task.started_at, world.tasks.values()), key=lambda task: task.started_at)
    large = head.task_id if place == "head" else sorted(world.tasks)[30]
    world.replace_raw(large, b'{"task_id":"%b","x":"%b"}' % (large.encode(), b" " * 300_000))
    with serve(world, Behaviour(nulls="last")) as emulator:

        def refuse(request: RequestInfo) -> None:
            if int(request.query.get("page", 1)) > 1000:
                emulator.inject(Fault("404", status=status))

        emulator.behaviour.before_request = refuse
        summary = run_sync(settings_for(emulator, database_url, page_size=20), TASKS_ALONE)
        assert summary.rejected == 1
        assert stored_states(database_url).keys() == world.tasks.keys() - {large}


def test_oversized_response_at_any_page_size_fails_the_run(database_url, monkeypatch):
    monkeypatch.setattr("etl.extract.client.PAGE_LIMIT", BodyLimit(10, 1_000_000))
    with (
        serve(a_world(30)) as emulator,
        pytest.raises(BodyTooLarge, match="the response is larger than"),
    ):
        run_sync(settings_for(emulator, database_url, page_size=100), TASKS_ALONE)
    assert len(emulator.requests) < 20
    assert query(database_url, "SELECT count(*) FROM rejected_records") == [(0,)]


@pytest.mark.parametrize("count", ["ok", "null", "absent"])
def test_empty_pages_do_not_mark_tasks_as_removed(database_url, count):
    """Neither by the first sync nor by later ones."""
    world = a_world(40)
    behaviour = Behaviour(page_limit=15, page_refusal="empty", count_is=count)
    with serve(world, behaviour) as emulator:
        settings = settings_for(emulator, database_url, page_size=100)
        run_sync(settings, TASKS_ALONE)
        assert stored_states(database_url) == true_states(world)
        for options in (TASKS_ALONE, FULL):
            run_sync(settings, options)
            assert stored_states(database_url) == true_states(world)
        assert query(database_url, "SELECT count(*) FROM tasks WHERE removed_at IS NOT NULL") == [(0,)]


def test_doctor_detects_empty_pages(database_url):
    with serve(a_world(40), Behaviour(page_limit=15, page_refusal="empty")) as emulator:
        settings = settings_for(emulator, database_url, page_size=100)
        (pages,) = [each for each in examine(settings, now=utc_now) if each.name == "pages"]
    assert "pages of 100 tasks are refused" in pages.detail
    assert "syncs read 12 per page" in pages.detail


def test_404_for_a_task_id_marks_the_task_as_removed(database_url):
    world = a_world(20)
    task_id = world.create()
    with serve(world, Behaviour()) as emulator:
        settings = settings_for(emulator, database_url)
        run_sync(settings, TASKS_ALONE)
        emulator.behaviour.empty_list = "404"
        world.delete(task_id)
        run_sync(settings, TASKS_ALONE)
    assert query(database_url, "SELECT task_id FROM tasks WHERE removed_at IS NOT NULL") == [(task_id,)]
