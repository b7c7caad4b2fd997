"""
The vendor's own SDK reads from the emulator, and validates every response against the vendor's types.

Emulator and client could share a misunderstanding; the SDK was made from the API's own description.
"""

import datetime as dt

import gcore
import pytest

from etl.emulator import STATUSES, Behaviour, Fault, World, serve


@pytest.fixture(scope="module")
def emulator():
    with serve(World.seeded(240)) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def client(emulator):
    with connect(emulator) as client:
        yield client


def connect(emulator, **options):
    return gcore.Gcore(
        api_key=emulator.api_key, base_url=emulator.base_url, _strict_response_validation=True, **options
    )


def assert_true(task, truth):
    """Compare what the SDK read with what the world holds."""
    assert (task.task_id, task.status, task.progress) == (truth.task_id, truth.status, truth.progress)
    assert task.task_data.to_dict() == truth.task_data
    assert task.processing_time.started_at == truth.started_at
    assert task.processing_time.completed_at == truth.completed_at
    assert task.processing_time.total_time_sec == truth.total_time_sec


def test_the_sdk_reads_the_whole_list(emulator, client):
    emulator.reset_log()
    tasks = list(client.streaming.ai_tasks.list(limit=100))
    assert sorted(task.task_id for task in tasks) == sorted(emulator.world.tasks)
    for task in tasks:
        assert_true(task, emulator.world.tasks[task.task_id])
    assert [record.query.get("page", "1") for record in emulator.requests] == ["1", "2", "3", "4"]


def test_the_sdk_gets_pages_of_ten_by_default(emulator, client):
    emulator.reset_log()
    assert len(list(client.streaming.ai_tasks.list())) == 240
    assert len(emulator.requests) == 25


@pytest.mark.parametrize("ordering", ["task_id", "status", "task_name", "started_at"])
def test_the_sdk_orders_the_list(emulator, client, ordering):
    tasks = list(client.streaming.ai_tasks.list(limit=50, ordering=ordering))
    assert len(tasks) == 240
    shown = [getattr(emulator.world.tasks[task.task_id], ordering) for task in tasks]
    present = [value for value in shown if value is not None]
    assert present == sorted(present)
    assert shown[len(shown) - len(present) :] == present  # those without a start come first


def test_the_default_order_is_newest_start_first(client):
    starts = [task.processing_time.started_at for task in client.streaming.ai_tasks.list(limit=50)]
    present = [start for start in starts if start is not None]
    assert present == sorted(present, reverse=True)


@pytest.mark.parametrize("status", sorted(STATUSES))
def test_the_sdk_filters_by_status(emulator, client, status):
    found = {task.task_id for task in client.streaming.ai_tasks.list(status=status, limit=100)}
    assert found == {task.task_id for task in emulator.world.tasks.values() if task.status == status}


@pytest.mark.parametrize("task_name", ["transcription", "content-moderation"])
def test_the_sdk_filters_by_type(emulator, client, task_name):
    found = {task.task_id for task in client.streaming.ai_tasks.list(task_name=task_name, limit=100)}
    assert found == {t.task_id for t in emulator.world.tasks.values() if t.task_name == task_name}
    assert found


def test_the_sdk_finds_one_task_by_its_id(emulator, client):
    for task_id in list(emulator.world.tasks)[:5]:
        (task,) = client.streaming.ai_tasks.list(task_id=task_id)
        assert_true(task, emulator.world.tasks[task_id])


@pytest.mark.parametrize("text", ["nsfw", "S3.EU-WEST-1.amazonaws.com", "user-1", "архив"])
def test_the_sdk_searches(emulator, client, text):
    found = {task.task_id for task in client.streaming.ai_tasks.list(search=text, limit=100)}
    expected = {
        task.task_id
        for task in emulator.world.tasks.values()
        if any(text.lower() in str(value).lower() for value in task.task_data.values())
    }
    assert found == expected
    assert 0 < len(found) < 240


def test_the_sdk_filters_by_creation_time(emulator, client):
    since = emulator.world.now - dt.timedelta(days=20)
    found = {
        task.task_id for task in client.streaming.ai_tasks.list(date_created=since.isoformat(), limit=100)
    }
    assert found == {t.task_id for t in emulator.world.tasks.values() if t.created_at >= since}
    assert 0 < len(found) < 240


def test_the_sdk_reads_every_kind_of_result(emulator, client):
    kinds = set()
    for truth in emulator.world.tasks.values():
        task = client.streaming.ai_tasks.get(truth.task_id)
        assert_true(task, truth)
        if truth.result is None or truth.is_expired(emulator.world.now):
            assert task.result is None
            continue
        assert task.result.to_dict() == truth.result
        # The types of both nudity results take each other's answers wherever the labels allow it.
        kinds.add(
            (truth.status == "FAILURE" or truth.kind, type(task.result).__name__.partition("AIResults")[2])
        )
    assert {
        (True, "Failure"),
        ("transcription", "Transcribe"),
        ("sport", "ContentmoderationSport"),
        ("nsfw", "ContentmoderationNsfw"),
        ("hard_nudity", "ContentmoderationHardnudity"),
        ("soft_nudity", "ContentmoderationSoftnudity"),
    } <= kinds


def test_the_sdk_reads_language_support(client):
    ask = client.streaming.ai_tasks.get_ai_settings
    assert ask(type="language_support", audio_language="jpn", subtitles_language="eng").supported is True
    assert ask(type="language_support", audio_language="xxx").supported is False


def test_the_sdk_recognizes_error_responses(emulator, client):
    with pytest.raises(gcore.NotFoundError):
        client.streaming.ai_tasks.get("00000000-0000-4000-8000-000000000000")
    with pytest.raises(gcore.BadRequestError, match="page"):
        client.streaming.ai_tasks.list(page=0)
    with connect(emulator) as stranger, pytest.raises(gcore.AuthenticationError):
        stranger.with_options(api_key="wrong").streaming.ai_tasks.list()


def test_the_sdk_reports_a_disabled_feature():
    with serve(World(), Behaviour(feature_disabled=True)) as emulator, connect(emulator) as client:
        page = client.streaming.ai_tasks.list
        with pytest.raises(gcore.UnprocessableEntityError, match="Contact support"):
            page()


def test_the_sdk_obeys_retry_after(emulator, client, monkeypatch):
    waits = []
    monkeypatch.setattr("gcore._base_client.time.sleep", waits.append)
    emulator.reset_log()
    emulator.inject(Fault("429_seconds", seconds=3))
    task = client.streaming.ai_tasks.get(min(emulator.world.tasks))
    assert task.task_id == min(emulator.world.tasks)
    assert [record.status for record in emulator.requests] == [429, 200]
    assert waits == [3]
