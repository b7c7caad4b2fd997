"""The emulator as a server: its clock, its limits, its log, its control from outside, its start and end."""

import datetime as dt
import functools
import gc
import json
import socket
import threading
import time
from email.utils import parsedate_to_datetime

import httpx
import pytest

from etl.emulator import TERMINAL, Behaviour, Fault, World, serve

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


# Behaviour of the server


def test_date_header_follows_the_clock_of_the_world(emulator, client):
    assert parsedate_to_datetime(client.get(TASKS).headers["date"]) == NOW
    emulator.world.advance(dt.timedelta(hours=5))
    emulator.behaviour.clock_skew = dt.timedelta(minutes=-3)
    shown = parsedate_to_datetime(client.get(TASKS).headers["date"])
    assert shown == NOW + dt.timedelta(hours=5, minutes=-3)
    emulator.behaviour.date_header = "garbage"
    with pytest.raises(ValueError, match="date"):
        parsedate_to_datetime(client.get(TASKS).headers["date"])
    emulator.behaviour.date_header = "missing"
    assert "date" not in client.get(TASKS).headers


@pytest.mark.parametrize("how", ["seconds", "date", "none"])
def test_requests_above_the_rate_limit_are_429(emulator, client, how):
    emulator.behaviour.rate_limit = 2
    emulator.behaviour.retry_after = how
    answers = [client.get(TASKS) for _ in range(4)]
    assert [answer.status_code for answer in answers[:2]] == [200, 200]
    assert answers[-1].status_code == 429
    told = answers[-1].headers.get("retry-after")
    if how == "date":
        assert NOW < parsedate_to_datetime(told) <= NOW + dt.timedelta(seconds=1)
    else:
        assert told == {"seconds": "1", "none": None}[how]


def test_the_rate_limit_recovers(emulator, client):
    emulator.behaviour.rate_limit = 50
    statuses = [client.get(f"{TASKS}?limit=1").status_code for _ in range(150)]
    assert {200, 429} == set(statuses)
    assert statuses.count(200) > 50 or statuses[-1] == 429
    time.sleep(0.03)
    assert client.get(f"{TASKS}?limit=1").status_code == 200


def test_latency_delays_responses(emulator, client):
    emulator.behaviour.latency = 0.03
    start = time.perf_counter()
    client.get(TASKS)
    assert time.perf_counter() - start >= 0.03


def test_the_world_may_change_between_any_two_requests(emulator, client):
    moved = []

    def move(request):
        if request.target == "list" and not moved:
            moved.append(emulator.world.create())

    emulator.behaviour.before_request = move
    assert client.get(TASKS).json()["count"] == 61
    assert client.get(TASKS).json()["count"] == 61


def test_an_exception_in_the_hook_fails_the_test(caplog):
    def refuse(request):
        raise AssertionError(request.path)

    def visit():
        with serve(World(), Behaviour(before_request=refuse)) as emulator:
            assert fetch(emulator.base_url + TASKS).status_code == 500

    with pytest.raises(AssertionError, match=TASKS):
        visit()
    assert "Exception in ASGI application" in caplog.text


def test_every_request_is_logged(emulator, client):
    client.get(TASKS, params={"limit": 3, "search": "ü &"})
    fetch(f"{emulator.base_url}{TASKS}/x")
    first, second = emulator.requests
    assert (first.method, first.path, first.status, first.target) == ("GET", TASKS, 200, "list")
    assert first.query == {"limit": "3", "search": "ü &"}
    assert first.authorized
    assert "user-agent" in first.headers
    assert (second.status, second.target, second.authorized) == (401, "detail", False)
    assert emulator.served == 2
    emulator.reset_log()
    assert emulator.requests == []


# Control from another process


def test_it_is_controlled_over_http_without_a_key(emulator, client):
    url = f"{emulator.base_url}/_emulator"
    answer = post(f"{url}/advance?seconds=3600").json()
    assert dt.datetime.fromisoformat(answer["now"]) == NOW + dt.timedelta(hours=1)
    assert post(f"{url}/fault?kind=503&times=2&match=list").json() == {"faults": 1}
    assert [client.get(TASKS).status_code for _ in range(3)] == [503, 503, 200]
    switches = {"page_cap": 4, "clock_skew": 60, "date_created": "day", "page_cap_schedule": {"9": 2}}
    assert post(f"{url}/behaviour", json=switches).json() == {"changed": sorted(switches)}
    assert emulator.behaviour.clock_skew == dt.timedelta(minutes=1)
    assert emulator.behaviour.page_cap_schedule == {9: 2}
    assert len(client.get(TASKS).json()["results"]) == 4
    stats = fetch(f"{url}/stats").json()
    assert (stats["tasks"], stats["requests"], stats["writes"]) == (60, 4, 0)
    assert sum(stats["by_status"].values()) == 60


@pytest.mark.parametrize(
    "path, body",
    [
        ("advance", None), ("advance?seconds=x", None), ("advance?seconds=-1", None),
        ("advance?seconds=1e99", None),
        ("fault", None), ("fault?kind=nonsense", None), ("fault?kind=500&times=many", None),
        ("behaviour", {"colour": 1}), ("behaviour", {"page_cap": "many"}),
        ("behaviour", {"past_end": "maybe"}), ("behaviour", {"before_request": 1}),
    ],
)  # fmt: skip
def test_invalid_control_requests_are_refused_and_change_nothing(emulator, path, body):
    answer = post(f"{emulator.base_url}/_emulator/{path}", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert emulator.behaviour == Behaviour()
    assert emulator.world.now == NOW


# The server itself


def test_server_starts_and_stops_quickly_and_leaves_nothing():
    threads, world = threading.active_count(), World.seeded(5)
    start = time.perf_counter()
    with serve(world) as emulator, httpx.Client(verify=False) as client:
        client.get(emulator.base_url)  # a connection that is still alive when the server stops
        port = emulator.port
    assert time.perf_counter() - start < 0.5
    assert threading.active_count() == threads
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)
    gc.collect()  # an unclosed socket would warn, and a warning is an error here


def test_it_stops_silently_during_a_slow_request(caplog):
    def wait(url):
        with pytest.raises(httpx.TransportError):
            fetch(url)

    with serve(World(), Behaviour(faults=[Fault("slow", seconds=60)])) as emulator:
        thread = threading.Thread(target=wait, args=(emulator.base_url,))
        thread.start()
        while not emulator.requests:
            time.sleep(0.001)
    thread.join(5)
    assert not thread.is_alive()
    assert not caplog.records


def test_a_port_in_use_is_refused():
    with (
        serve(World()) as emulator,
        pytest.raises(OSError, match="in use"),
        serve(World(), port=emulator.port),
    ):
        pass


def test_many_clients_may_send_requests_while_the_clock_runs():
    world, failures = World.seeded(300, speed=5000, arrivals_per_hour=100), []

    def ask(emulator):
        headers = {"Authorization": f"APIKey {emulator.api_key}"}
        with httpx.Client(base_url=emulator.base_url, headers=headers, verify=False) as client:
            for number in range(20):
                answer = client.get(
                    TASKS, params={"status": ("SUCCESS", "STARTED")[number % 2], "limit": 100}
                )
                if answer.status_code != 200 or not json.loads(answer.content)["results"] >= []:
                    failures.append(answer.text)

    with serve(world) as emulator:
        threads = [threading.Thread(target=ask, args=(emulator,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert emulator.served == 80
    assert not failures
    assert len(world.tasks) > 300
    assert sum(task.status in TERMINAL for task in world.tasks.values()) > 280
