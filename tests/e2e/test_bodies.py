"""P7: memory use is bounded, whatever the size of results and responses."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from support.bodies import MIB, Body, detail, measured, packed, serve_bodies
from support.commands import error_of
from support.grids import one_in

from etl.database import reading

if TYPE_CHECKING:
    from support.databases import Databases

SMALL = Body(detail(0, b'{"speech_detected":true,"concatenated_text":"hello"}'))
# Peak memory in MB, including the largest response body that is read.
MAX_FOR_ONE_BODY = 200
MEGABYTE = 1_000_000
WORDS = [f"{number * 7919 % 100_003:05}" for number in range(500)]


def subtitles(size: int, word: str = "") -> dict[str, Any]:
    words = itertools.cycle(WORDS)
    lines = [" ".join([*itertools.islice(words, 8), word]) for _ in range(size // (235 if word else 210))]
    return {
        "speech_detected": True,
        "subtitles": [
            {
                "start_time": f"{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}.000",
                "end_time": None,
                "text": line,
            }
            for n, line in enumerate(lines)
        ],
        "concatenated_text": " ".join(lines),
        "vttContent": "WEBVTT\n\n" + "\n\n".join(lines),
    }


HONEST = {
    "subtitles": subtitles,
    # As escapes, which make a reader doubt every string.
    "emoji": lambda size: subtitles(size, "\U0001f600"),
    "text": lambda size: {"concatenated_text": " ".join(WORDS * (size // 3000))},
    "frames": lambda size: {
        "nsfw_detected": True,
        "frames": [{"frame_number": n, "label": "x", "confidence": 0.5} for n in range(size // 52)],
    },
}


@one_in(
    8,
    "megabytes, most, kind, databases",
    [(4, 165), (10, 270)],
    HONEST,
    ["sqlite", "postgres"],
    indirect=["databases"],
)
def test_memory_is_bounded_while_storing_large_results(
    megabytes: int, most: int, kind: str, databases: Databases
):
    """Five results of 10 MB, decoded and held at the same time, would take 440 to 570 MB."""
    size = megabytes * MEGABYTE
    result = json.dumps(HONEST[kind](size)).encode()
    assert 0.9 * size < len(result) < 1.2 * size
    with (
        databases.empty() as url,
        serve_bodies({number: Body(detail(number, result)) for number in range(5)}) as server,
    ):
        environment = {"GCORE_API_KEY": "1$a", "GCORE_BASE_URL": server, "GCORE_ETL_DATABASE_URL": url}
        ended, peak = measured(environment, "sync", "--json")
        assert ended.code == 0, ended
        assert json.loads(ended.out)["results_archived"] == 5
        with reading(url) as connection:
            stored = connection.execute(sa.text("SELECT result FROM task_results")).scalars().all()
    as_json = [json.loads(each) if isinstance(each, str) else each for each in stored]
    assert as_json == [json.loads(result)] * 5
    assert peak < most


OF_SPACES = packed(b'{"task_id":"x","result":"', b" " * MIB, 300, b'"}')
OF_VALUES = packed(b'{"task_id":"x","result":[0', b",[]" * 1_000_000, 20, b"]}")
ANNOUNCED = Body(b'{"task_id":', length=10**11)


def test_oversized_results_are_skipped_with_warning(database_url: str):
    bombs = [OF_SPACES] * 4 + [OF_VALUES, ANNOUNCED]
    details = {
        0: SMALL,
        **dict(enumerate(bombs, start=1)),
        7: Body(detail(7, b'{"concatenated_text":"bye"}')),
    }
    with serve_bodies(details) as server:
        environment = {
            "GCORE_API_KEY": "1$a",
            "GCORE_BASE_URL": server,
            "GCORE_ETL_DATABASE_URL": database_url,
        }
        ended, peak = measured(environment, "sync", "--json")
    assert ended.code == 0, ended
    assert json.loads(ended.out)["results_archived"] == 2
    warnings = [line for line in ended.err.splitlines() if "the result of task" in line]
    assert sorted(line.split("the result of task ")[1][7] for line in warnings) == list("123456")
    assert all(" is skipped, and requested again later: the response " in line for line in warnings)
    assert sum("larger than 64 MiB" in line for line in warnings) == 5
    assert sum("more than 3,000,000 values" in line for line in warnings) == 1
    assert "trying again" not in ended.err
    assert peak < MAX_FOR_ONE_BODY


PAGES = {
    "of spaces": (packed(b'{"count":1,"results":[', b" " * MIB, 1500, b"]}"), "larger than 32 MiB"),
    "of records": (packed(b'{"count":1,"results":[{}', b",{}" * 1_000_000, 15, b"]}"), "values"),
    "of brackets": (packed(b'{"count":1,"results":', b"[" * MIB, 60, b""), "values"),
    "of members": (packed(b'{"count":1,"results":[],"a":0', b',"a":0' * 200_000, 40, b"}"), "values"),
}


@pytest.mark.parametrize("page", PAGES)
def test_oversized_page_fails_sync_with_one_line(page: str, sqlite_databases: Databases):
    body, words = PAGES[page]
    with sqlite_databases.empty() as url, serve_bodies({0: SMALL}, body) as server:
        environment = {"GCORE_API_KEY": "1$a", "GCORE_BASE_URL": server, "GCORE_ETL_DATABASE_URL": url}
        ended, peak = measured(environment, "sync")
    line = error_of(ended, 1)
    assert words in line
    assert line.startswith(f"Error: {server} sends too much for every page: the response ")
    assert line.endswith(": check GCORE_BASE_URL, and whether a proxy modifies the responses of the API")
    assert peak < MAX_FOR_ONE_BODY
