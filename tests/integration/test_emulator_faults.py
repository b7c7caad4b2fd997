"""Each fault, as a client sees it on a real socket."""

import datetime as dt
import json
from email.utils import parsedate_to_datetime
from typing import get_args

import httpx
import pytest

from etl.emulator import Fault, World, serve
from etl.emulator.behaviour import FaultKind

TASKS = "/streaming/ai/tasks"


@pytest.fixture(scope="module")
def server():
    with serve(World.seeded(30)) as server:
        yield server


@pytest.fixture
def emulator(server):
    server.behaviour.faults.clear()
    server.reset_log()
    return server


@pytest.fixture
def client(emulator):
    key = {"Authorization": f"APIKey {emulator.api_key}"}
    with httpx.Client(base_url=emulator.base_url, headers=key, verify=False) as client:
        yield client


def asked(emulator, client, kind, **how):
    """Request the list with this fault."""
    emulator.inject(Fault(kind, **how))
    return client.get(TASKS)


@pytest.fixture(autouse=True)
def all_is_well_again(emulator, client):
    """Assert that the next request succeeds, on a new connection if necessary."""
    yield
    assert client.get(TASKS).json()["count"] == 30
    assert not emulator.behaviour.faults


@pytest.mark.parametrize("status", [500, 503, 408, 425, 401, 403, 404])
def test_an_error_status(emulator, client, status):
    answer = asked(emulator, client, str(status))
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert isinstance(answer.json(), dict)
    assert emulator.requests[0].status == status


def test_429_has_retry_after_in_three_forms(emulator, client):
    assert asked(emulator, client, "429_seconds", seconds=3).headers["retry-after"] == "3"
    told = parsedate_to_datetime(asked(emulator, client, "429_date", seconds=4).headers["retry-after"])
    assert told == emulator.world.now + dt.timedelta(seconds=4)
    bare = asked(emulator, client, "429_bare")
    assert bare.status_code == 429
    assert "retry-after" not in bare.headers


@pytest.mark.parametrize("kind, status", [("502_html", 502), ("html_200", 200)])
def test_a_proxy_responds_with_html(emulator, client, kind, status):
    answer = asked(emulator, client, kind)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert "<" in answer.text


def test_a_response_that_is_not_json(emulator, client):
    answer = asked(emulator, client, "not_json")
    assert answer.status_code == 200
    with pytest.raises(ValueError, match="Expecting value"):
        answer.json()


def test_a_connection_that_is_reset_before_the_response(emulator, client):
    with pytest.raises(httpx.ReadError, match="reset"):
        asked(emulator, client, "reset")
    assert emulator.requests[0].status == 0


def test_a_connection_that_is_reset_in_the_body(emulator, client):
    emulator.inject(Fault("reset_mid_body"))
    with client.stream("GET", TASKS) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.TransportError, match=r"reset|incomplete|closed"):
            answer.read()


def test_a_body_shorter_than_content_length(emulator, client):
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        asked(emulator, client, "wrong_length")


def test_truncated_json_in_a_complete_response(emulator, client):
    answer = asked(emulator, client, "truncated_json")
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == len(answer.content)
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_garbage_after_the_json(emulator, client):
    answer = asked(emulator, client, "trailing_garbage")
    json.JSONDecoder().raw_decode(answer.text)
    with pytest.raises(json.JSONDecodeError, match="Extra data"):
        answer.json()


def test_a_slow_response_is_late_and_correct(emulator, client):
    answer = asked(emulator, client, "slow", seconds=0.04)
    assert answer.elapsed >= dt.timedelta(seconds=0.04)
    assert answer.json()["count"] == 30


def test_a_slow_response_exceeds_a_timeout(emulator, client):
    emulator.inject(Fault("slow", seconds=60))
    with pytest.raises(httpx.ReadTimeout):
        client.get(TASKS, timeout=0.02)


def test_a_redirect_to_another_origin_must_not_carry_the_key(emulator, client):
    emulator.inject(Fault("redirect_other_origin"))
    answer = client.get(TASKS, params={"search": "a&b c"}, follow_redirects=True)
    assert answer.url.host == "localhost"
    assert [record.authorized for record in emulator.requests] == [True, False]
    assert [record.query for record in emulator.requests] == [{"search": "a&b c"}] * 2
    told = asked(emulator, client, "redirect_other_origin", url="https://elsewhere.example/x")
    assert told.headers["location"] == "https://elsewhere.example/x"


def test_a_redirect_within_the_origin_keeps_the_key(emulator, client):
    emulator.inject(Fault("redirect_same_origin"))
    answer = client.get(TASKS, params={"limit": 2}, follow_redirects=True)
    assert len(answer.json()["results"]) == 2
    assert [record.authorized for record in emulator.requests] == [True, True]


def test_an_error_may_quote_the_key(emulator, client):
    answer = asked(emulator, client, "quote_key")
    assert answer.status_code == 400
    assert emulator.api_key in answer.text
    assert asked(emulator, client, "quote_key", status=500).status_code == 500


@pytest.mark.parametrize("kind", get_args(FaultKind))
def test_every_kind_of_fault_occurs_once(emulator, client, kind):
    try:
        asked(emulator, client, kind, seconds=0.01)
    except httpx.TransportError:
        assert kind in {"reset", "reset_mid_body", "wrong_length"}
    assert emulator.failure is None


def test_faults_occur_after_and_as_often_as_configured(emulator, client):
    emulator.inject(Fault("500", times=2, after=1), Fault("503"))
    assert [client.get(TASKS).status_code for _ in range(5)] == [503, 500, 500, 200, 200]


def test_faults_affect_only_matching_requests(emulator, client):
    task_id = min(emulator.world.tasks)
    emulator.inject(Fault("500", match="detail"), Fault("503", match=task_id), Fault("404", match="/info"))
    paths = (TASKS, f"{TASKS}/{task_id}", f"{TASKS}/{task_id}", "/streaming/ai/info", TASKS)
    assert [client.get(path).status_code for path in paths] == [200, 500, 503, 404, 200]
    emulator.inject(Fault("500", match="list"))
    assert client.get(f"{TASKS}/{task_id}").status_code == 200
    assert client.get(TASKS).status_code == 500
