"""The duration of searches in many transcripts, within one process."""

from __future__ import annotations

import itertools
import random
import statistics
import time
from typing import TYPE_CHECKING

from benchmarks.source import NOW
from etl.database import ensure_schema, open_engine
from etl.load.bulk import insert_rows
from etl.load.transcript_index import index_transcripts
from etl.models import METADATA
from etl.search import search

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

QUERIES = {
    "a rare word": "word4999",
    "a common word": "word1",
    "two common words": "word1 word2",
    "a phrase": '"word3 word5"',
    "a phrase of common words": '"word1 word2"',
    "a prefix": "word12*",
    "a common prefix": "wo*",
    "Chinese": "地图",
    "one character": "图",
}
WORDS_EACH, LINES_EACH, VOCABULARY, BATCH, ROUNDS = 150, 15, 5000, 2000, 15
_CHINESE = "我们先看一下地图雨停了孩子跑到院里下周再见大家晚上好"


def measure_searches(database: str, transcripts: int) -> Iterator[tuple[str, int, float]]:
    """Yield the name of each query, its number of hits, and its median duration in milliseconds."""
    engine = open_engine(database)
    with engine.begin() as connection:
        ensure_schema(connection)
    chance = random.Random(1)  # noqa: S311 - words, not secrets
    weights = list(itertools.accumulate(1 / rank for rank in range(1, VOCABULARY + 1)))
    for start in range(0, transcripts, BATCH):
        with engine.begin() as connection:
            _fill(connection, range(start, min(start + BATCH, transcripts)), chance, weights)
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
    with engine.connect() as connection:
        for name, query in QUERIES.items():
            taken = []
            for _ in range(ROUNDS):
                started = time.perf_counter()
                hits = search(connection, query)
                taken.append((time.perf_counter() - started) * 1000)
                connection.rollback()
            yield name, len(hits), statistics.median(taken)
    engine.dispose()


def _fill(connection: sa.Connection, numbers: range, chance: random.Random, weights: list[float]) -> None:
    tables = METADATA.tables
    insert_rows(
        connection,
        tables["tasks"],
        ("task_id", "status", "completed_at", "first_seen_at", "changed_at", "is_result_due"),
        [(f"{number:08}", "SUCCESS", NOW, NOW, NOW, False) for number in numbers],
    )
    insert_rows(
        connection,
        tables["task_results"],
        ("task_id", "state", "attempts"),
        [(f"{number:08}", "archived", 1) for number in numbers],
    )
    transcripts = [(f"{number:08}", _lines(number, chance, weights)) for number in numbers]
    rows = [
        (task_id, place, place, place + 1, text) for task_id, lines in transcripts for place, text in lines
    ]
    names = ("task_id", "position", "start_seconds", "end_seconds", "text")
    insert_rows(connection, tables["subtitles"], names, rows)
    index_transcripts(connection, transcripts)


def _lines(number: int, chance: random.Random, weights: list[float]) -> list[tuple[int | None, str]]:
    """Return a random transcript with a Zipf distribution of words; every tenth one is Chinese."""
    each = WORDS_EACH // LINES_EACH
    if number % 10 == 0:
        return [(place, "".join(chance.choices(_CHINESE, k=2 * each))) for place in range(LINES_EACH)]
    words = chance.choices(range(1, VOCABULARY + 1), cum_weights=weights, k=WORDS_EACH)
    return [
        (place, " ".join(f"word{word}" for word in words[place * each : (place + 1) * each]))
        for place in range(LINES_EACH)
    ]
