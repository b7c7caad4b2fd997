"""All JSON output writes timestamps in one format, with all digits, on both databases."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import TYPE_CHECKING, Any

import httpx
import pandas as pd
import pytest
from support.processes import start_command
from support.worlds import a_world

from etl.emulator import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.commands import Command

    from etl.emulator import Emulator

FORMAT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
# A date or time in any format.
LIKE_A_TIMESTAMP = re.compile(
    r"\d{4}-?\d\d-?\d\d[T ]?\d\d:?\d\d|\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d|[+-]\d\d:\d\d$"
)
# Text from the source, which is repeated unchanged.
QUOTED = {"raw", "snippet", "url", "error"}
SUBTITLES = [{"start_time": "00:00:01.000", "end_time": "00:00:02.000", "text": "guten abend"}]


def strings(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield each string of a document with its key."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from strings(each, key)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each, name)
    elif isinstance(value, str):
        yield name, value


def refuse(constant: str) -> Any:
    raise AssertionError(f"{constant} is not JSON")


def read(lines: str) -> list[dict[str, Any]]:
    return [json.loads(line, parse_constant=refuse) for line in lines.splitlines()]


def check_times(documents: list[dict[str, Any]], *names: str) -> None:
    """Check that every timestamp has the format, and that these keys have timestamps."""
    found = {(name, text) for name, text in strings(documents) if name not in QUOTED}
    assert [
        each for each in found if LIKE_A_TIMESTAMP.search(each[1]) and not FORMAT.fullmatch(each[1])
    ] == []
    assert set(names) - {name for name, text in found if FORMAT.fullmatch(text)} == set()


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Serve a world at the current time, so that results are not expired."""
    with serve(a_world(10, now=dt.datetime.now(dt.UTC).replace(microsecond=0))) as emulator:
        yield emulator


@pytest.fixture
def synced(command: Command, emulator: Emulator) -> Command:
    """Sync tasks, some of which end on a whole second; reject a record, leave results pending, fail a run."""
    for number, step in enumerate((0, 186, 14)):
        emulator.world.advance(dt.timedelta(milliseconds=step))
        task_id = emulator.world.create(task_id=f"t{number}")
        emulator.world.start(task_id)
        emulator.world.finish(task_id, {"subtitles": SUBTITLES, "languages": ["ger"]})
    emulator.world.add_raw("00000000-0000-4000-8000-000000000001", b'{"status":"SUCCESS"}')
    assert command("sync").code == 0
    emulator.behaviour.feature_disabled = True
    assert command("sync").code == 3
    emulator.behaviour.feature_disabled = False
    emulator.world.finish(emulator.world.create())
    assert command("sync", "--no-results").code == 0
    return command


def test_all_commands_use_one_timestamp_format(synced):
    run = ("started_at", "finished_at", "watermark_before", "watermark_after")
    for words, names in {
        "status": ("watermark", "last_full_at", "last_success_at", "first_result_lost_at", *run),
        "runs": run,
        "search guten": ("completed_at",),
        "rejected list": ("received_at",),
        "schema": (),
        "sync --dry-run": ("watermark", "watermark_before", "started_at"),
        "sync": ("watermark", "watermark_before", "started_at"),
        "sync --full": ("watermark", "watermark_before", "started_at"),
        "rejected retry": (),
    }.items():
        ended = synced(*words.split(), "--json")
        assert ended.code == 0, (words, ended)
        check_times(read(ended.out), *names)


def test_failed_sync_uses_timestamp_format(synced, emulator):
    emulator.behaviour.feature_disabled = True
    ended = synced("sync", "--json")
    assert ended.code == 3
    check_times(read(ended.out), "watermark", "started_at")
    ended = synced("watch", "--json")
    assert ended.code == 3
    check_times(read(ended.out), "watermark", "started_at")


def test_pandas_infers_one_timestamp_format(synced):
    """The format is inferred from the first timestamp, and any other is rejected."""
    hits = read(synced("search", "guten", "--json").out)
    moments = pd.to_datetime([hit["completed_at"] for hit in hits])
    assert len(moments) == 3
    assert {0} < {moment.microsecond for moment in moments}


def test_search_and_export_timestamps_are_identical(synced):
    """`search` and `export` write the same instant in the same way."""
    exported = [json.loads(line)["completed_at"] for line in synced("export", "tasks").out.splitlines()]
    hits = read(synced("search", "guten", "--json").out)
    assert {hit["completed_at"] for hit in hits} <= set(exported)


def test_explore_search_page_uses_timestamp_format(sqlite_command, emulator):
    emulator.world.finish(emulator.world.create(task_id="t"), {"subtitles": SUBTITLES, "languages": ["ger"]})
    sqlite_command("sync")
    words = ("explore", "--no-open", "--port", "0")
    with start_command(sqlite_command.environment, *words) as process:
        try:
            base = process.stderr.readline().split()[4].rstrip("/;")
            answer = httpx.get(f"{base}/tasks/search.json?_shape=array&words=guten", verify=False, timeout=60)
        finally:
            process.kill()
    (hit,) = answer.json()
    assert FORMAT.fullmatch(hit["completed_at"])


def test_emulator_uses_timestamp_format():
    with serve(a_world(1)) as emulator:
        for method, path in (("GET", "stats"), ("POST", "advance?seconds=0.5")):
            answer = httpx.request(method, f"{emulator.base_url}/_emulator/{path}", verify=False, timeout=60)
            check_times([answer.json()], "now")
