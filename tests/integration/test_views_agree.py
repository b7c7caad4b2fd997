"""Both databases return the same rows from the views, whatever the data."""

from __future__ import annotations

import datetime as dt
import random

import numpy as np
import pytest
from sqlalchemy import insert
from support.stored import NOON, read_view

from etl.database import open_engine
from etl.models import HISTORY, RESULTS, SUBTITLES, TASKS

COLUMNS = {
    "task_timeline": "task_id created_at created_error_seconds wait_seconds duration_seconds status",
    "task_daily": "day task_name status tasks total_seconds",
    "task_durations": "task_name category n mean_seconds p50_seconds p95_seconds p99_seconds",
    "task_waits": "task_name category n mean_seconds p50_seconds p95_seconds p99_seconds",
    "outcomes": "day task_name category audio_language host finished succeeded failed revoked success_rate",
    "minutes_daily": "day task_name category tasks processed_minutes succeeded_minutes",
    "video_lengths": "task_id lines at_least_seconds",
    "status_spans": "task_id status valid_from valid_to seconds history_id",
    "status_transitions": "from_status to_status transitions tasks mean_seconds",
    "retries": "task_id task_name category status retried fell_back last_at url",
    "failures": "task_id failed_at error url",
    "failure_kinds": "task_name category error_kind tasks first_at last_at",
    "in_flight": "task_id task_name category status progress created_at started_at url",
    "stalls": "task_id task_name category status progress created_at usual_seconds url",
    "results_expiring": "task_id status completed_at expires_at state",
    "freshness": "synced_at watermark last_full_at present_tasks failed_since",
}
# Each with the host that `outcomes` shows.
HOSTS = {
    "https://cdn.example.com/videos/1.mp4": "cdn.example.com",
    "HTTPS://CDN.Example.com?x=/y": "cdn.example.com",
    "http://me:secret@cdn.example.com:8080/a@b:c": "cdn.example.com",
    "http://[2001:db8::1]:80/x": "[2001:db8::1]",
    "https://bücher.Example#/": "bücher.example",
    "s3://bucket": "bucket",
    "http:///x": None,
    "no address": None,
    "": None,
    None: None,
}
URLS = tuple(HOSTS)
STATUSES = ("PENDING", "STARTED", "RETRY", "SUCCESS", "FAILURE", "REVOKED", None)


@pytest.fixture
def connections(sqlite_databases, postgres_databases):
    with sqlite_databases.migrated() as sqlite_url, postgres_databases.migrated() as postgres_url:
        engines = open_engine(sqlite_url), open_engine(postgres_url)
        with engines[0].begin() as sqlite, engines[1].begin() as postgres:
            yield sqlite, postgres
        for engine in engines:
            engine.dispose()


def some_instant(chance):
    """Return a random timestamp within three days, or sometimes None."""
    return (
        NOON + dt.timedelta(microseconds=chance.randrange(3 * 86_400_000_000))
        if chance.random() < 0.7
        else None
    )


def some_task(chance, number):
    names = ("date_created", "created_after", "created_before", "started_at", "completed_at", "removed_at")
    return {
        "task_id": f"t{number}",
        "task_name": chance.choice(["transcription", "content-moderation", None]),
        "category": chance.choice(["nsfw", "sport", None]),
        "audio_language": chance.choice(["eng", None]),
        "url": chance.choice(URLS),
        "status": chance.choice(STATUSES),
        "total_time_sec": round(chance.expovariate(0.01), 3) if chance.random() < 0.6 else None,
        "is_result_due": chance.random() < 0.2,
        "first_seen_at": NOON,
        "changed_at": some_instant(chance) or NOON,
        **{name: some_instant(chance) if chance.random() < 0.8 else None for name in names},
    }


def some_history(chance, count):
    times = sorted(chance.randrange(10**11) for _ in range(count))
    return [
        {
            "task_id": f"t{chance.randrange(40)}",
            "run_id": 1,
            "observed_at": NOON + dt.timedelta(microseconds=time),
            "event": chance.choice(["discovered", "changed", "changed", "changed", "removed", "reappeared"]),
            "status": chance.choice(STATUSES),
            "previous_status": chance.choice(STATUSES),
        }
        for time in times
    ]


def fill(connections, chance):
    tasks = [some_task(chance, number) for number in range(300)]
    states = ["archived", "unavailable", "expired"]
    errors = ["No stream: 1.mp4", "No stream: 2.mp4", "Timeout", "", None]
    results = [
        {
            "task_id": f"t{number}",
            "state": chance.choice(states),
            "error": chance.choice(errors),
            "next_attempt_at": some_instant(chance),
        }
        for number in range(0, 300, 2)
    ]
    subtitles = [
        {
            "task_id": f"t{number % 70}",
            "position": number // 70,
            "end_seconds": round(chance.random() * 90, 3),
        }
        for number in range(300)
    ]
    history = some_history(chance, 400)
    for connection in connections:
        connection.execute(insert(TASKS), tasks)
        connection.execute(insert(RESULTS), results)
        connection.execute(insert(SUBTITLES), subtitles)
        for row in history:  # one by one, so that the order determines history_id
            connection.execute(insert(HISTORY).values(row))


@pytest.mark.parametrize("seed", range(3))
def test_both_databases_return_the_same_rows(connections, seed):
    fill(connections, random.Random(seed))
    for view, columns in COLUMNS.items():
        on_sqlite, on_postgres = (read_view(each, view, *columns.split()) for each in connections)
        assert on_sqlite, view
        assert on_sqlite == on_postgres, view


def test_percentiles_match_numpy(connections):
    fill(connections, random.Random(7))
    durations = {}
    timeline = read_view(connections[0], "task_timeline", "task_id", "duration_seconds")
    kinds = {
        row[0]: row[1:]
        for row in connections[0].exec_driver_sql("SELECT task_id, task_name, category FROM tasks")
    }
    for task_id, duration in timeline:
        if duration is not None:
            durations.setdefault(tuple(kinds[task_id]), []).append(duration)
    rows = read_view(connections[0], "task_durations", *COLUMNS["task_durations"].split())
    assert len(rows) == len(durations)
    for task_name, category, n, mean, *percentiles in rows:
        values = durations[task_name, category]
        assert n == len(values)
        assert mean == pytest.approx(np.mean(values), abs=1e-6)
        assert percentiles == pytest.approx(list(np.percentile(values, [50, 95, 99])))


def test_the_host_is_that_of_the_url_and_shows_no_credentials(connections):
    for number, url in enumerate(URLS):
        for connection in connections:
            task = {"task_id": f"t{number}", "status": "SUCCESS", "url": url, "category": str(number)}
            connection.execute(insert(TASKS), [{**task, "first_seen_at": NOON, "changed_at": NOON}])
    for connection in connections:
        rows = dict(read_view(connection, "outcomes", "category", "host"))
        assert [rows[str(number)] for number in range(len(URLS))] == list(HOSTS.values())
