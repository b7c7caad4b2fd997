"""Results are archived before the API deletes them, and never lost afterwards."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import insert
from support.processes import wait_until
from support.worlds import a_world, query, settings_for

from etl.emulator import Behaviour, Fault, serve
from etl.errors import Unreachable
from etl.extract.payload import task_payload
from etl.extract.result import ResultPayload
from etl.models import TASKS
from etl.settings import Settings
from etl.sync import archive
from etl.sync.api import run_sync
from etl.sync.options import SyncOptions
from etl.sync.summary import Progress, RunSummary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.emulator import Emulator


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with serve(a_world(40), Behaviour()) as emulator:
        yield emulator


def stored_results(database_url: str) -> dict[str, object]:
    rows = query(
        database_url, "SELECT task_id, CAST(result AS TEXT) FROM task_results WHERE state = 'archived'"
    )
    return {task_id: json.loads(result) for task_id, result in rows}


def true_results(emulator: Emulator) -> dict[str, object]:
    finished = (task for task in emulator.world.tasks.values() if task.status in {"SUCCESS", "FAILURE"})
    return {task.task_id: task.result for task in finished}


def details_asked(emulator: Emulator) -> int:
    return sum("tasks/" in request.path for request in emulator.requests)


def finish_one(emulator: Emulator) -> str:
    task_id = emulator.world.create()
    emulator.world.start(task_id)
    emulator.world.finish(task_id)
    return task_id


def test_every_result_is_archived_once(emulator, database_url):
    summary = run_sync(settings_for(emulator, database_url))
    truth = true_results(emulator)
    assert stored_results(database_url) == truth
    assert summary.results_archived == len(truth)
    cues = query(database_url, "SELECT task_id, count(*) FROM subtitles GROUP BY task_id")
    assert dict(cues) == {
        task_id: len(result["subtitles"]) for task_id, result in truth.items() if result.get("subtitles")
    }
    emulator.reset_log()
    assert run_sync(settings_for(emulator, database_url)).results_archived == 0
    assert details_asked(emulator) == 0


def test_results_skipped_by_option_are_fetched_by_later_sync(emulator, database_url):
    settings = settings_for(emulator, database_url)
    run_sync(settings, SyncOptions(with_results=False))
    assert details_asked(emulator) == 0
    run_sync(settings)
    assert stored_results(database_url) == true_results(emulator)


def test_backlog_is_fetched_oldest_first_over_several_runs(emulator, database_url):
    settings = settings_for(emulator, database_url, max_results=10)
    run_sync(settings)
    oldest = sorted(
        (task.completed_at, task.task_id)
        for task in emulator.world.tasks.values()
        if task.task_id in true_results(emulator)
    )
    assert stored_results(database_url).keys() == {task_id for _, task_id in oldest[:10]}
    for _ in range(4):
        run_sync(settings)
    assert stored_results(database_url) == true_results(emulator)


@pytest.mark.parametrize("answer", ["null", "empty", "404", "410"])
def test_archived_result_survives_expiry_at_source(emulator, database_url, answer):
    settings = settings_for(emulator, database_url)
    run_sync(settings)
    before = stored_results(database_url)
    emulator.behaviour.expired_result = answer
    emulator.world.advance(dt.timedelta(days=40))
    run_sync(settings, SyncOptions(is_full=True))
    after = stored_results(database_url)
    assert {task_id: after[task_id] for task_id in before} == before


@pytest.mark.parametrize("answer", ["null", "empty", "404", "410"])
def test_expired_result_is_requested_only_once(emulator, database_url, answer):
    emulator.behaviour.expired_result = answer
    emulator.world.advance(dt.timedelta(days=60))
    settings = settings_for(emulator, database_url)
    run_sync(settings)
    assert stored_results(database_url) == {}
    states = query(database_url, "SELECT state, count(*) FROM task_results GROUP BY state")
    assert states == [("expired", len(true_results(emulator)))]
    emulator.reset_log()
    emulator.world.advance(dt.timedelta(days=2))
    run_sync(settings)
    assert details_asked(emulator) == 0


@pytest.mark.parametrize("answer", ["404", "410"])
def test_result_of_a_task_that_ran_for_a_month_is_not_expired(database_url, answer):
    """The lists have no times, so it is only known when the task was seen to finish."""
    world = a_world(5)
    with serve(world, Behaviour(record_shape="older", expired_result=answer)) as emulator:
        settings = settings_for(emulator, database_url)
        task_id = world.create()
        world.start(task_id)
        run_sync(settings)
        world.advance(dt.timedelta(days=40))
        world.finish(task_id)
        world.tasks[task_id].result_deleted = True  # it is not there yet
        run_sync(settings)
        asked = "SELECT state FROM task_results WHERE task_id = :id"
        assert query(database_url, asked, id=task_id) == [("unavailable",)]
        world.tasks[task_id].result_deleted = False
        world.advance(dt.timedelta(days=1))
        run_sync(settings)
        assert query(database_url, asked, id=task_id) == [("archived",)]


def test_one_jump_of_the_clock_makes_no_result_expired(database_url):
    """The first sync uses a clock that is a month behind; the next one learns the time from the API."""
    world = a_world(5, now=dt.datetime.now(dt.UTC) + dt.timedelta(days=35))
    behaviour = Behaviour(record_shape="older", expired_result="404", date_header="missing")
    with serve(world, behaviour) as emulator:
        settings = settings_for(emulator, database_url)
        task_id = finish_one(emulator)
        world.tasks[task_id].result_deleted = True
        run_sync(settings)
        emulator.behaviour.date_header = "ok"
        for _ in range(3):
            world.advance(dt.timedelta(minutes=5))
            run_sync(settings)
        asked = "SELECT state FROM task_results WHERE task_id = :id"
        assert query(database_url, asked, id=task_id) == [("unavailable",)]
        world.tasks[task_id].result_deleted = False
        world.advance(dt.timedelta(days=1))
        run_sync(settings)
        assert query(database_url, asked, id=task_id) == [("archived",)]


def test_estimated_result_expires_in_the_end(database_url):
    world = a_world(5)
    with serve(world, Behaviour(record_shape="older", expired_result="404")) as emulator:
        settings = settings_for(emulator, database_url)
        task_id = finish_one(emulator)
        world.expire_result(task_id)
        asked = "SELECT state, next_attempt_at IS NULL FROM task_results WHERE task_id = :id"
        for _ in range(45):
            run_sync(settings)
            world.advance(dt.timedelta(days=1))
        assert query(database_url, asked, id=task_id) == [("expired", True)]
        emulator.reset_log()
        run_sync(settings)
        assert not any(task_id in request.path for request in emulator.requests)


def test_response_tells_when_a_task_has_finished(database_url):
    """A result without any times in the list is expired at once if the detail shows an old time."""
    world = a_world(5)
    with serve(world, Behaviour(record_shape="older", expired_result="null")) as emulator:
        task_id = finish_one(emulator)
        world.advance(dt.timedelta(days=32))
        run_sync(settings_for(emulator, database_url))
        asked = "SELECT state, attempts FROM task_results WHERE task_id = :id"
        assert query(database_url, asked, id=task_id) == [("expired", 1)]


def test_unavailable_result_is_retried_at_growing_intervals(emulator, database_url):
    settings = settings_for(emulator, database_url)
    run_sync(settings)
    task_id = finish_one(emulator)
    task = emulator.world.tasks[task_id]
    task.result_deleted = True
    run_sync(settings)
    asked = "SELECT state, attempts FROM task_results WHERE task_id = :id"
    assert query(database_url, asked, id=task_id) == [("unavailable", 1)]
    run_sync(settings)
    assert query(database_url, asked, id=task_id) == [("unavailable", 1)]
    emulator.world.advance(dt.timedelta(hours=1, seconds=1))
    run_sync(settings)
    assert query(database_url, asked, id=task_id) == [("unavailable", 2)]
    task.result_deleted = False
    emulator.world.advance(dt.timedelta(hours=2, seconds=1))
    run_sync(settings)
    assert stored_results(database_url)[task_id] == task.result


def test_failed_result_does_not_affect_other_results(emulator, database_url):
    settings = settings_for(emulator, database_url, retry_for=dt.timedelta(seconds=1))
    spoilt = finish_one(emulator)
    emulator.inject(Fault("500", times=1000, match=spoilt))
    summary = run_sync(settings)
    assert summary.status == "succeeded"
    truth = true_results(emulator)
    del truth[spoilt]
    assert stored_results(database_url) == truth
    assert query(database_url, "SELECT state FROM task_results WHERE task_id = :id", id=spoilt) == [
        ("unavailable",)
    ]


def test_consecutive_result_failures_fail_run_but_keep_tasks(emulator, database_url):
    settings = settings_for(emulator, database_url, retry_for=dt.timedelta(seconds=1))
    emulator.inject(Fault("500", times=10_000, match="detail"))
    with pytest.raises(Unreachable):
        run_sync(settings)
    assert query(database_url, "SELECT count(*) FROM tasks") == [(40,)]
    ((status, watermark),) = query(database_url, "SELECT status, watermark_after FROM sync_runs")
    assert (status, watermark is not None) == ("failed", True)
    emulator.behaviour.faults.clear()
    run_sync(settings)
    assert stored_results(database_url) == true_results(emulator)


def test_less_complete_result_never_replaces_fuller_one(emulator, database_url):
    settings = settings_for(emulator, database_url)
    task_id = finish_one(emulator)
    task = emulator.world.tasks[task_id]
    task.own_result = {"speech_detected": True, "concatenated_text": "all of it", "languages": ["eng"]}
    run_sync(settings)
    for shown, kept in (
        ({"concatenated_text": "less"}, "all of it"),
        ({"speech_detected": True, "concatenated_text": "more", "languages": ["eng"], "extra": 1}, "more"),
    ):
        task.status, task.rendered = "STARTED", None
        run_sync(settings, SyncOptions(is_full=True))
        task.status, task.rendered, task.own_result = "SUCCESS", None, shown
        run_sync(settings, SyncOptions(is_full=True))
        assert query(database_url, "SELECT text FROM task_results WHERE task_id = :id", id=task_id) == [
            (kept,)
        ]


def test_summary_estimates_remaining_backlog(emulator, database_url):
    settings = settings_for(emulator, database_url, max_results=10)
    summary = run_sync(settings)
    left = len(true_results(emulator)) - 10
    assert summary.results_archived == 10
    assert summary.results_waiting == left
    assert summary.results_syncs_left == -(-left // 10)
    assert summary.results_seconds_left is not None
    for _ in range(4):
        summary = run_sync(settings)
    assert (summary.results_waiting, summary.results_syncs_left) == (0, 0)


def test_results_expiring_before_their_turn_cause_warning(emulator, database_url, caplog):
    emulator.world.advance(dt.timedelta(days=12))
    daily = SyncOptions(next_run_in=dt.timedelta(days=1))
    summary = run_sync(settings_for(emulator, database_url, max_results=1), daily)
    assert summary.results_at_risk is not None
    assert 0 < summary.results_at_risk < summary.results_waiting
    assert f"{summary.results_at_risk:,} of {summary.results_waiting:,} pending results" in caplog.text
    caplog.clear()
    summary = run_sync(settings_for(emulator, database_url), daily)
    assert (summary.results_at_risk, summary.results_syncs_left, caplog.text) == (0, 0, "")


def test_unexpired_results_are_fetched_before_expired_ones(emulator, database_url):
    emulator.world.advance(dt.timedelta(days=25))
    now = emulator.world.now
    finished = [t for t in emulator.world.tasks.values() if t.task_id in true_results(emulator)]
    safe = [t.task_id for t in finished if now - t.completed_at < dt.timedelta(days=30)]
    # Between day 30 and day 31, a result may or may not have expired.
    in_doubt = [t.task_id for t in finished if 30 <= (now - t.completed_at) / dt.timedelta(days=1) < 31]
    assert 0 < len(safe + in_doubt) < len(finished)
    run_sync(settings_for(emulator, database_url, max_results=len(safe + in_doubt)))
    assert stored_results(database_url).keys() >= set(safe)


def test_result_is_refetched_after_failed_task_succeeds(emulator, database_url):
    settings = settings_for(emulator, database_url)
    task_id = emulator.world.create()
    emulator.world.start(task_id)
    emulator.world.fail(task_id)
    run_sync(settings)
    assert stored_results(database_url)[task_id].keys() == {"error"}
    task = emulator.world.tasks[task_id]
    task.status, task.rendered = "SUCCESS", None
    run_sync(settings, SyncOptions(is_full=True))
    assert stored_results(database_url)[task_id] == task.result != {}


def test_webvtt_is_kept_as_received_or_generated_if_missing(emulator, database_url):
    transcripts = {
        task_id: result for task_id, result in true_results(emulator).items() if result.get("subtitles")
    }
    made, received = sorted(transcripts)[:2]
    written = transcripts[made].pop("vttContent")
    emulator.world.tasks[made].own_result = transcripts[made]
    run_sync(settings_for(emulator, database_url))
    stored = dict(query(database_url, "SELECT task_id, vtt FROM task_results WHERE vtt IS NOT NULL"))
    assert stored[received] == transcripts[received]["vttContent"]
    times = [line for line in written.splitlines() if "-->" in line]
    assert [line for line in stored[made].splitlines() if "-->" in line] == times
    assert stored_results(database_url)[made] == transcripts[made]


def test_unreadable_subtitle_times_are_counted_and_kept(emulator, database_url):
    task_id, result = next(
        (task_id, result) for task_id, result in true_results(emulator).items() if result.get("subtitles")
    )
    result["subtitles"][0]["start_time"] = "soon"
    emulator.world.tasks[task_id].own_result = result
    summary = run_sync(settings_for(emulator, database_url))
    assert summary.unreadable_times == 1
    assert query(
        database_url, "SELECT start_seconds FROM subtitles WHERE task_id = :id AND position = 0", id=task_id
    ) == [(None,)]
    assert stored_results(database_url)[task_id] == result


class Details:
    """Responds immediately, with results of `size` bytes."""

    concurrency = 1

    def __init__(self, size: int) -> None:
        self.asked: list[str] = []
        self._size = size

    def fetch_detail(self, task_id: str) -> ResultPayload:
        self.asked.append(task_id)
        return ResultPayload(task=task_payload(task_id, size=self._size), kind=None, result={"a": 1})


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
@pytest.mark.parametrize("size, least, most", [(1000, 400, 505), (archive.BATCH_BYTES // 4, 4, 10)])
def test_results_are_requested_while_others_are_stored_up_to_a_limit(engine, size, least, most):
    now = dt.datetime(2026, 6, 30, tzinfo=dt.UTC)
    tasks = [
        {
            "task_id": f"{number:04}",
            "status": "SUCCESS",
            "completed_at": now + dt.timedelta(seconds=number),
            "is_result_due": True,
            "first_seen_at": now,
            "changed_at": now,
        }
        for number in range(600)
    ]
    source, summary, ahead = Details(size), RunSummary(), []

    def report(progress: Progress) -> None:
        if progress.done == 1:
            wait_until(lambda: len(source.asked) >= least, "results are requested in advance")
        ahead.append(len(source.asked) - progress.done)

    with engine.connect() as connection:
        with connection.begin():
            connection.execute(insert(TASKS), tasks)
        archive.archive_results(
            connection,
            source,
            summary,
            Settings(max_results=len(tasks), retry_for=dt.timedelta(seconds=60)),
            SyncOptions(),
            now=lambda: now + dt.timedelta(hours=1),
            report=report,
        )
    assert max(ahead) <= most
    assert source.asked == [task["task_id"] for task in tasks]
    assert summary.results_archived == len(tasks)
