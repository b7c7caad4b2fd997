"""The emulator on a real socket: routes, parameters and behaviour settings."""

import datetime as dt
import functools

import httpx
import pytest

from etl.emulator import World, serve

TASKS = "/streaming/ai/tasks"
NOW = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)

# There is no TLS here, and loading the certificates for it takes longer than most of these tests.
fetch = functools.partial(httpx.get, verify=False)
post = functools.partial(httpx.post, verify=False)


@pytest.fixture
def emulator():
    with serve(World.seeded(60, now=NOW)) as emulator:
        yield emulator


@pytest.fixture
def client(emulator):
    key = {"Authorization": f"APIKey {emulator.api_key}"}
    with httpx.Client(base_url=emulator.base_url, headers=key, verify=False) as client:
        yield client


def ids(answer):
    return [record["task_id"] for record in answer.raise_for_status().json()["results"]]


def read_all(client, limit=25, **params):
    found, page = [], 1
    while batch := ids(client.get(TASKS, params={"page": page, "limit": limit, **params})):
        found += batch
        page += 1
    return found


# Addresses


def test_list_contains_every_task_of_the_world(emulator, client):
    answer = client.get(TASKS).json()
    assert answer["count"] == 60
    assert answer["next"] == "page=2"
    assert answer["previous"] is None
    assert len(answer["results"]) == 10
    found = read_all(client, ordering="task_id")
    assert found == sorted(emulator.world.tasks)
    for record in client.get(TASKS, params={"limit": 60}).json()["results"]:
        task, times = emulator.world.tasks[record["task_id"]], record["processing_time"]
        assert record["task_data"] == task.task_data
        assert (record["status"], record["progress"]) == (task.status, task.progress)
        for field in ("started_at", "completed_at"):
            truth = getattr(task, field)
            assert (times[field] and dt.datetime.fromisoformat(times[field])) == truth
        assert times["total_time_sec"] == task.total_time_sec


def test_the_details_of_a_task_include_its_result(emulator, client):
    for task in emulator.world.tasks.values():
        detail = client.get(f"{TASKS}/{task.task_id}").json()
        expired = task.is_expired(emulator.world.now)
        assert detail["result"] == (None if expired else task.result)
        assert detail["status"] == task.status


def test_an_unknown_task_or_path_is_404_with_the_documented_body(client):
    for path in (f"{TASKS}/nobody", "/streaming/ai", "/", f"{TASKS}/"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert answer.json()["status"] == 404
        assert answer.json()["error"].startswith("Not Found")


@pytest.mark.parametrize(
    "query", ["page=0", "page=abc", "limit=-1", "task_id=x", "date_created=soon", "ordering=progress"]
)
def test_a_bad_parameter_is_400_with_the_documented_body(client, query):
    answer = client.get(f"{TASKS}?{query}")
    assert answer.status_code == 400
    assert answer.json()["status"] == 400
    assert query.partition("=")[0] in answer.json()["error"]


def test_write_requests_are_refused_and_counted(emulator, client):
    assert client.post(TASKS, json={}).status_code == 405
    assert client.post(f"{TASKS}/some/cancel").status_code == 405
    assert client.get(TASKS).status_code == 200
    assert emulator.writes == 2


@pytest.mark.parametrize(
    "query, status, body",
    [
        ("type=language_support&audio_language=fre", 200, {"supported": True}),
        ("type=language_support&audio_language=fre&subtitles_language=jpn", 200, {"supported": True}),
        ("type=language_support&audio_language=klingon", 200, {"supported": False}),
        ("type=language_support&audio_language=fre&subtitles_language=xyz", 200, {"supported": False}),
        ("type=colours", 400, {"error": "Invalid config type"}),
    ],
)
def test_language_support_is_answered(client, query, status, body):
    answer = client.get(f"/streaming/ai/info?{query}")
    assert (answer.status_code, answer.json()) == (status, body)


# Access


@pytest.mark.parametrize("header", ["", "APIKey", "APIKey wrong", "Bearer {key}", "{key}", "APIKey {key}x"])
@pytest.mark.parametrize("status", [401, 403])
def test_a_missing_or_wrong_key_is_refused(emulator, header, status):
    emulator.behaviour.bad_key_status = status
    headers = {"Authorization": header.format(key=emulator.api_key)} if header else {}
    answer = fetch(emulator.base_url + TASKS, headers=headers)
    assert answer.status_code == status
    assert {"exception_class", "message", "request_id"} == set(answer.json())


@pytest.mark.parametrize("scheme", ["APIKey", "apikey", "ApiKey"])
def test_the_authorization_scheme_is_case_insensitive(emulator, scheme):
    headers = {"Authorization": f"{scheme} {emulator.api_key}"}
    assert fetch(emulator.base_url + TASKS, headers=headers).status_code == 200
    assert "$" in emulator.api_key


def test_a_disabled_feature_is_422(emulator, client):
    emulator.behaviour.feature_disabled = True
    answer = client.get(TASKS)
    assert answer.status_code == 422
    assert answer.json() == {"error": "Feature is disabled. Contact support to enable."}


# Behaviour of the list


def test_a_page_is_silently_reduced_to_the_cap_which_may_change(emulator, client):
    emulator.behaviour.page_cap = 20
    emulator.behaviour.page_cap_schedule = {2: 7, 4: 30}
    sizes = [len(ids(client.get(TASKS, params={"limit": 50}))) for _ in range(5)]
    assert sizes == [20, 7, 7, 30, 30]
    emulator.reset_log()
    assert len(ids(client.get(TASKS, params={"limit": 50}))) == 20


def test_a_page_past_the_end_is_empty_or_404(emulator, client):
    assert ids(client.get(TASKS, params={"page": 7})) == []
    emulator.behaviour.past_end = "404"
    answer = client.get(TASKS, params={"page": 7})
    assert (answer.status_code, answer.json()["error"]) == (404, "Invalid page.")
    assert len(ids(client.get(TASKS, params={"page": 6}))) == 10


@pytest.mark.parametrize("meaning", ["gte", "lte", "day", "exact", "ignored"])
def test_the_date_filter_has_the_configured_semantics(emulator, client, meaning):
    emulator.behaviour.date_created = meaning
    asked = emulator.world.tasks[min(emulator.world.tasks)].created_at
    keeps = {
        "gte": lambda created: created >= asked,
        "lte": lambda created: created <= asked,
        "day": lambda created: created.date() == asked.date(),
        "exact": lambda created: created == asked,
        "ignored": lambda _: True,
    }[meaning]
    expected = {task_id for task_id, task in emulator.world.tasks.items() if keeps(task.created_at)}
    assert set(read_all(client, date_created=asked.isoformat())) == expected
    assert expected


def test_the_date_filter_may_be_refused(emulator, client):
    emulator.behaviour.date_created = "rejected"
    assert client.get(TASKS, params={"date_created": "2026-06-01"}).status_code == 400


def test_days_are_those_of_the_servers_time_zone(emulator, client):
    emulator.behaviour.date_created = "day"
    emulator.behaviour.utc_offset = dt.timedelta(hours=9)
    late = emulator.world.create(created_at=dt.datetime(2026, 6, 10, 20, tzinfo=dt.UTC))
    assert late in read_all(client, date_created="2026-06-11")
    assert late not in read_all(client, date_created="2026-06-10")


def test_an_unknown_status_is_refused_if_configured(emulator, client):
    assert ids(client.get(TASKS, params={"status": "PAUSED"})) == []
    emulator.behaviour.unknown_status_rejected = True
    assert client.get(TASKS, params={"status": "PAUSED"}).status_code == 400


@pytest.mark.parametrize(
    "how, count, following",
    [("ok", 60, "page=2"), ("null", None, None), ("wrong", 67, "page=8"), ("string", "60", "page=2")],
)
def test_count_and_next_can_be_wrong_or_absent(emulator, client, how, count, following):
    emulator.behaviour.count_is = emulator.behaviour.next_is = how
    answer = client.get(TASKS).json()
    assert (answer["count"], answer["next"]) == (count, following)
    emulator.behaviour.count_is = emulator.behaviour.next_is = "absent"
    assert set(client.get(TASKS).json()) == {"previous", "results"}


def test_pages_may_loop(emulator, client):
    emulator.behaviour.next_page_loops = True
    assert client.get(TASKS, params={"page": 3}).json()["next"] == "page=3"
    emulator.behaviour.page_ignored = True
    assert ids(client.get(TASKS, params={"page": 3})) == ids(client.get(TASKS))


def test_records_may_be_duplicated(emulator, client):
    emulator.behaviour.duplicates = "page"
    first = ids(client.get(TASKS))
    assert len(first) == 11
    assert first[0] == first[-1]
    emulator.behaviour.duplicates = "across"
    first, second = (ids(client.get(TASKS, params={"page": page})) for page in (1, 2))
    assert second[0] == first[-1]
    assert len(first), len(second) == (10, 11)


# Behaviour of records


def test_older_shape_has_top_level_type_and_no_times_in_list(emulator, client):
    emulator.behaviour.record_shape = "older"
    for record in client.get(TASKS).json()["results"]:
        assert "processing_time" not in record
        assert "task_name" not in record["task_data"]
        assert record["task_name"] == emulator.world.tasks[record["task_id"]].task_name
    detail = client.get(f"{TASKS}/{record['task_id']}").json()
    assert "processing_time" in detail


def test_an_unknown_time_is_null_or_absent(emulator, client):
    task_id = emulator.world.create()
    assert client.get(f"{TASKS}/{task_id}").json()["processing_time"] == {
        "started_at": None, "completed_at": None, "total_time_sec": None,
    }  # fmt: skip
    emulator.behaviour.unstarted = "absent"
    assert client.get(f"{TASKS}/{task_id}").json()["processing_time"] == {}


def test_additional_fields_appear_in_list_and_details(emulator, client):
    emulator.behaviour.extra_fields = {"shard": "low"}
    emulator.behaviour.extra_processing_time = {"queued_sec": 4}
    emulator.behaviour.creation_field = "created_at"
    for record in client.get(TASKS).json()["results"]:
        assert record["shard"] == "low"
        assert record["processing_time"]["queued_sec"] == 4
        truth = emulator.world.tasks[record["task_id"]].created_at
        assert dt.datetime.fromisoformat(record["created_at"]) == truth


@pytest.mark.parametrize("score_is", ["number", "string"])
def test_older_results_have_other_field_names(emulator, client, score_is):
    frame = {"label": "nsfw", "frame_number": 6, "confidence": 1}
    task_id = emulator.world.create(kind="nsfw")
    emulator.world.finish(task_id, {"nsfw_detected": True, "detection_results": ["nsfw"], "frames": [frame]})
    emulator.behaviour.result_spelling = "older"
    emulator.behaviour.score_is = score_is
    assert client.get(f"{TASKS}/{task_id}").json()["result"] == {
        "porn_detected": True,
        "detection_results": ["nsfw"],
        "frames": [{"label": "nsfw", "frame-number": 6, "score": 1 if score_is == "number" else "1.0"}],
    }


@pytest.mark.parametrize("how, status", [("null", 200), ("empty", 200), ("404", 404), ("410", 410)])
def test_an_expired_result_is_answered_as_configured(emulator, client, how, status):
    task_id = emulator.world.create()
    emulator.world.finish(task_id)
    emulator.behaviour.expired_result = how
    assert client.get(f"{TASKS}/{task_id}").json()["result"]
    emulator.world.advance(dt.timedelta(days=31))
    answer = client.get(f"{TASKS}/{task_id}")
    assert answer.status_code == status
    if status == 200:
        assert answer.json()["result"] == {"null": None, "empty": {}}[how]
    assert task_id in ids(client.get(TASKS, params={"task_id": task_id}))


def test_raw_records_are_served_verbatim(emulator, client):
    task_id = emulator.world.create()
    emulator.world.replace_raw(task_id, b'{"task_id": "x", "progress": NaN}')
    assert client.get(f"{TASKS}/{task_id}").content == b'{"task_id": "x", "progress": NaN}'
    emulator.world.add_raw("0", b"{")
    page = client.get(TASKS, params={"ordering": "task_id", "limit": 2}).content
    assert b'"results":[{,{"task_id"' in page
