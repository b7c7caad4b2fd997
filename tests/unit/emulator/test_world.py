"""The emulated world: how tasks are created, change and end."""

import datetime as dt
import random
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.emulator import RESULT_KEPT_FOR, TERMINAL, IllegalTransition, World
from etl.emulator.content import KINDS
from etl.emulator.lifecycle import plan_lifecycle
from etl.emulator.task import Task

NOW = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)

# As the vendor documents the statuses; repeated here, so that the table in the code is tested.
MAY_FOLLOW = MappingProxyType(
    {
        "RECEIVED": {"PENDING", "STARTED", "REVOKED"},
        "PENDING": {"STARTED", "REVOKED"},
        "STARTED": {"STARTED", "PENDING", "RETRY", "SUCCESS", "FAILURE", "REVOKED"},
        "RETRY": {"STARTED", "PENDING", "REVOKED"},
        "SUCCESS": set(),
        "FAILURE": set(),
        "REVOKED": set(),
    }
)


def picture(world):
    """Return everything that is visible of a world."""
    return world.now, {
        task_id: (t.status, t.progress, t.created_at, t.started_at, t.completed_at, t.task_data, t.result)
        for task_id, t in world.tasks.items()
    }


@given(st.integers(0, 10**9))
def test_planned_lifecycles_are_legal_and_terminate(seed):
    age, status, retries = 0.0, "RECEIVED", 0
    for step in plan_lifecycle(random.Random(seed)):
        assert step.status in MAY_FOLLOW[status]
        assert step.age >= age
        assert 0 <= step.progress <= 100
        age, status, _ = step
        retries += status == "RETRY"
    assert status in TERMINAL
    assert retries <= 3


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 40))
def test_apply_steps_equals_single_moves(seed, plan_seed, length):
    plan = plan_lifecycle(random.Random(plan_seed))[: length + 1]
    at_once, by_steps = (Task("id", "sport", seed, 1, NOW) for _ in range(2))
    at_once.apply_steps(plan)
    for step in plan:
        by_steps.move(step.status, NOW + dt.timedelta(seconds=step.age), step.progress)
    for field in ("status", "progress", "started_at", "completed_at"):
        assert getattr(at_once, field) == getattr(by_steps, field)


def test_seed_determines_the_world():
    assert picture(World.seeded(50, seed=3)) == picture(World.seeded(50, seed=3))
    assert not set(World.seeded(50, seed=3).tasks) & set(World.seeded(50, seed=4).tasks)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 7200), min_size=1, max_size=8), st.integers(0, 99))
def test_one_long_advance_equals_many_short_ones(seconds, seed):
    leap, walk = (World.seeded(40, seed=seed, arrivals_per_hour=30) for _ in range(2))
    leap.advance(dt.timedelta(seconds=sum(seconds)))
    for part in seconds:
        walk.advance(dt.timedelta(seconds=part))
    assert picture(leap) == picture(walk)


def test_start_and_completion_times_never_change():
    world = World.seeded(200, seed=11, arrivals_per_hour=20)
    seen: dict[str, tuple] = {}
    changes = set()
    for _ in range(300):
        world.advance(dt.timedelta(minutes=1))
        for task in world.tasks.values():
            status, started, completed = seen.get(task.task_id, (task.status, None, None))
            assert started in {None, task.started_at}
            assert completed in {None, task.completed_at}
            assert status == task.status or status not in TERMINAL
            assert (task.completed_at is not None) == (
                task.status in TERMINAL and task.started_at is not None
            )
            changes.add((status, task.status))
            seen[task.task_id] = (task.status, task.started_at, task.completed_at)
    assert ("PENDING", "STARTED") in changes
    assert ("STARTED", "PENDING") in changes


def test_seeded_world_covers_statuses_kinds_and_errors():
    world = World.seeded(1500, seed=7)
    tasks = world.tasks.values()
    assert {task.status for task in tasks} >= {"SUCCESS", "FAILURE", "REVOKED", "PENDING", "STARTED"}
    assert {task.kind for task in tasks} == set(KINDS)
    assert any(task.status == "REVOKED" and task.started_at is None for task in tasks)
    assert any(task.status == "REVOKED" and task.started_at is not None for task in tasks)
    assert len({task.result["error"][:20] for task in tasks if task.status == "FAILURE"}) >= 5
    old = [t for t in tasks if t.status not in TERMINAL and t.created_at < NOW - dt.timedelta(hours=2)]
    assert old, "some tasks stay in flight for long"


def test_task_data_varies_realistically():
    data = [task.task_data for task in World.seeded(800).tasks.values()]
    hosts = {item["url"].split("/")[2] for item in data}
    assert len(hosts) >= 5
    for field in (
        "audio_language",
        "subtitles_language",
        "client_user_id",
        "client_entity_data",
        "stop_objects",
    ):
        having = sum(field in item for item in data)
        assert 0 < having < len(data)
    assert {"jpn", "chi", "ara", "heb"} <= {item.get("audio_language") for item in data}
    assert all(item.get("audio_language") != item.get("subtitles_language", "") for item in data)


def test_times_use_three_formats_and_parse_back():
    shown = {}
    for task in World.seeded(300).tasks.values():
        text = task.format_time(task.started_at)
        if text is not None:
            assert dt.datetime.fromisoformat(text) == task.started_at
            shown[len(text.partition(".")[2])] = text
    assert {0, 3, 4} <= set(shown), shown  # :27Z, :29.25Z, :00.000Z
    assert World().tasks == {}


def test_tasks_arrive_at_the_configured_rate():
    world = World(arrivals_per_hour=100, seed=1)
    world.advance(10 * HOUR)
    assert 850 < len(world.tasks) < 1150
    assert all(NOW < task.created_at <= NOW + 10 * HOUR for task in world.tasks.values())


def test_clock_runs_at_the_configured_speed():
    clock = [0.0]
    world = World(NOW, speed=60, timer=lambda: clock[0])
    assert world.now == NOW
    clock[0] = 2.5
    assert world.now == NOW + dt.timedelta(seconds=150)
    world.advance(HOUR)
    assert world.now == NOW + dt.timedelta(seconds=150) + HOUR


def test_time_spent_processing_events_is_not_counted():
    clock = [0.0]

    class SlowWorld(World):
        def _create_task(self, *args, **options):
            clock[0] += 5
            return super()._create_task(*args, **options)

    world = SlowWorld.seeded(20, now=NOW, speed=1000, arrivals_per_hour=600, timer=lambda: clock[0])
    assert world.now == NOW
    clock[0] += 1
    assert world.now == NOW + dt.timedelta(seconds=1000)
    assert len(world.tasks) > 20
    assert world.now == NOW + dt.timedelta(seconds=1000)


def test_negative_advance_is_rejected():
    with pytest.raises(ValueError, match="back"):
        World().advance(-HOUR)


def test_task_can_be_driven_manually_through_its_lifecycle():
    world = World(NOW)
    task_id = world.create(kind="sport")
    task = world.tasks[task_id]
    assert (task.status, task.progress, task.created_at) == ("RECEIVED", 0, NOW)
    world.advance(HOUR)
    world.start(task_id, 5)
    world.set_progress(task_id, 40)
    start = task.started_at
    assert NOW + HOUR - dt.timedelta(seconds=1) < start <= NOW + HOUR
    world.advance(HOUR)
    world.send_back(task_id)
    assert (task.status, task.progress, task.started_at) == ("PENDING", 40, start)
    world.start(task_id)
    world.retry(task_id)
    assert (task.status, task.progress) == ("RETRY", 0)
    assert task.result is None
    world.finish(task_id)
    assert (task.status, task.progress, task.started_at) == ("SUCCESS", 100, start)
    assert task.completed_at > start
    assert task.result["sport_detected"] in {True, False}


def test_manually_changed_task_stops_following_its_plan():
    world = World.seeded(0)
    left, touched = world.create(has_plan=True), world.create(has_plan=True)
    world.set_progress(touched, 1)
    world.advance(dt.timedelta(days=20))
    assert world.tasks[left].status in TERMINAL
    assert (world.tasks[touched].status, world.tasks[touched].progress) == ("RECEIVED", 1)


def test_terminal_tasks_reject_transitions():
    world = World()
    task_id = world.create()
    world.revoke(task_id)
    assert world.tasks[task_id].completed_at is None
    for act in (world.start, world.finish, world.fail, world.revoke, world.retry, world.send_back):
        with pytest.raises(IllegalTransition, match="REVOKED"):
            act(task_id)
    world.set_status(task_id, "PAUSED")
    assert world.tasks[task_id].status == "PAUSED"


def test_results_and_errors_can_be_specified():
    world = World()
    done, failed = world.create(), world.create()
    world.finish(done, {"speech_detected": False})
    world.fail(failed, "out of cheese")
    assert world.tasks[done].result == {"speech_detected": False}
    assert world.tasks[failed].result == {"error": "out of cheese"}
    assert world.tasks[failed].started_at is not None


def test_deleted_task_can_be_restored():
    world = World()
    task_id = world.create()
    world.start(task_id, 30)
    task = world.tasks[task_id]
    world.delete(task_id)
    assert task_id not in world.tasks
    assert world.deleted[task_id] is task
    world.revive(task_id)
    assert world.tasks[task_id] is task
    assert not world.deleted


def test_results_expire_after_retention_or_on_demand():
    world = World(NOW)
    task_id, lost = world.create(), world.create()
    world.finish(task_id)
    world.finish(lost)
    end = world.tasks[task_id].completed_at + RESULT_KEPT_FOR
    assert not world.tasks[task_id].is_expired(end - dt.timedelta(seconds=1))
    assert world.tasks[task_id].is_expired(end)
    world.expire_result(lost)
    assert world.tasks[lost].is_expired(world.now)
    assert not world.tasks[task_id].is_expired(world.now)


def test_duplicate_id_is_rejected():
    world = World()
    world.create(task_id="one")
    with pytest.raises(ValueError, match="one"):
        world.create(task_id="one")


def test_transcript_fields_are_consistent():
    world = World.seeded(400)
    spoken = silent = 0
    for task in world.tasks.values():
        if task.status != "SUCCESS" or task.kind != "transcription":
            continue
        result = task.result
        texts = [cue["text"] for cue in result["subtitles"]]
        assert result["concatenated_text"] == " ".join(texts)
        assert result["vttContent"].count("-->") == len(texts)
        times = [cue[end] for cue in result["subtitles"] for end in ("start_time", "end_time")]
        assert times == sorted(times)
        spoken += result["speech_detected"]
        silent += not result["speech_detected"] and not texts
    assert spoken > 5 * silent > 0
