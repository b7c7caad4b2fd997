# ruff: noqa: RUF001
"""Full-text search in every language, on both databases, with any query."""

from __future__ import annotations

import datetime as dt

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.grids import one_in
from support.languages import SAID
from support.worlds import a_world, query, settings_for

from etl.database import open_engine, reading
from etl.emulator import serve
from etl.emulator.phrases import LANGUAGES
from etl.load.transcript_index import as_tsvector
from etl.search import is_complete, search
from etl.search.snippet import find_passage
from etl.sync.api import run_sync

# Queries that a database might misinterpret.
ODD = [
    '"', "*", "", " ", "AND", "NOT x", "(", "a:b", "x*y", '"a" OR "b"', "NEAR(a b)", "-a", "^a", "a'b", "\\",
    "%", "a\0b", "🎬", "{a b}", "<->", "!a", "a & | b", ":*", "x" * 10_000, "'; DROP TABLE tasks; --", '"a*"',
]  # fmt: skip


def transcript(world, task_id: str, *texts: str, **fields) -> None:
    """Finish a task with these subtitles of one second each."""
    world.create(task_id=task_id, created_at=world.now)
    world.start(task_id)
    cues = [
        {"start_time": f"00:00:{second:02}.000", "end_time": f"00:00:{second + 1:02}.000", "text": text}
        for second, text in enumerate(texts)
    ]
    world.finish(task_id, {"subtitles": cues, "concatenated_text": " ".join(texts), **fields})


def found(url: str, text: str, **options) -> list[tuple[str, float | None]]:
    with reading(url) as connection:
        return [(hit.task_id, hit.start_seconds) for hit in search(connection, text, **options)]


@pytest.fixture
def world():
    return a_world(0)


@pytest.fixture
def synced(world, database_url):
    """Return a function that syncs, and the URL of the database."""
    with serve(world) as emulator:

        def sync() -> str:
            run_sync(settings_for(emulator, database_url))
            return database_url

        yield sync


def test_the_right_subtitle_is_found_in_every_language_of_the_api(world, synced):
    assert SAID.keys() == LANGUAGES
    for language, (sentence, _) in SAID.items():
        transcript(world, language, "1 2 3", sentence, "4 5 6", languages=[language])
    url = synced()
    for language, (_, part) in SAID.items():
        assert (language, 1.0) in found(url, part, limit=50), language
        assert found(url, part, language=language) == [(language, 1.0)]


def test_all_words_must_match_and_phrases_in_order(world, synced):
    transcript(world, "a", "The quick brown fox", "jumps over the lazy dog")
    transcript(world, "b", "A brown dog,", "quick as a fox")
    url = synced()
    assert {hit[0] for hit in found(url, "quick brown")} == {"a", "b"}
    assert found(url, '"quick brown"') == [("a", 0.0)]
    # A phrase may span two subtitles; the hit has the time of the first.
    assert found(url, '"fox jumps"') == [("a", 0.0)]
    assert found(url, "jum*") == [("a", 1.0)]
    assert found(url, '"lazy do*"') == [("a", 1.0)]
    assert found(url, "quick cat") == []


def test_a_transcript_without_subtitles_is_found_by_its_text(world, synced):
    world.create(task_id="t")
    world.start("t")
    world.finish("t", {"concatenated_text": "nobody noted the time", "subtitles": []})
    with reading(synced()) as connection:
        (hit,) = search(connection, "noted")
    assert (hit.task_id, hit.start_seconds, hit.snippet) == ("t", None, "nobody [noted] the time")


def test_fuller_result_replaces_previously_indexed_words(world, synced):
    transcript(world, "t", "first version")
    url = synced()
    task = world.tasks["t"]
    task.status, task.rendered, task.own_result = "RETRY", None, None
    synced()
    task.status, task.rendered = "SUCCESS", None
    task.own_result = {
        "subtitles": [{"start_time": "00:00:07.000", "end_time": "00:00:08.000", "text": "last"}] * 3
    }
    synced()
    assert found(url, "first") == []
    assert found(url, "last") == [("t", 7.0)]


def test_language_and_time_filter_the_hits(world, synced):
    transcript(world, "old", "hello there", languages=["eng"])
    world.advance(dt.timedelta(days=2))
    transcript(world, "new", "hello again", languages=["ger", "eng"])
    url = synced()
    assert {hit[0] for hit in found(url, "hello", language="ENG")} == {"old", "new"}
    assert found(url, "hello", language="ger") == [("new", 0.0)]
    assert found(url, "hello", since=world.now - dt.timedelta(days=1)) == [("new", 0.0)]
    assert len(found(url, "hello", limit=1)) == 1


def test_a_task_removed_at_the_source_is_still_found(world, synced):
    for task_id in "tuv":
        transcript(world, task_id, f"remember {task_id}")
    url = synced()
    world.delete("t")
    world.advance(dt.timedelta(days=90))
    synced()
    assert found(url, "remember t") == [("t", 0.0)]


def test_a_very_long_transcript_is_searched_to_the_end(world, synced):
    lines = [f"word{number} said{number % 97} {number}" for number in range(9000)]
    cues = [
        {"start_time": f"{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02}.000", "end_time": None, "text": text}
        for s, text in enumerate(lines)
    ]
    world.create(task_id="t")
    world.start("t")
    world.finish("t", {"subtitles": cues})
    url = synced()
    for number in (0, 666, 2667, 5333, 8999):
        assert found(url, f'"{lines[number]}"') == [("t", float(number))]
    # Also across the boundaries of parts.
    for number in range(640, 680):
        assert found(url, f'"{number} word{number + 1}"') == [("t", float(number))]


# The text, queries that match it, and queries that do not.
WRITTEN = {
    "Je crois que c’est là, l’homme.": (
        ["c'est là", "cest", "là", "homme", "l'homme", '"c\'est là"', '"est là"', "c'e*"],
        ["ce", '"cest homme"'],
    ),
    "Don't touch John's İstanbul'da": (
        ["dont", "don’t", "john", "johns", '"touch john\'s"', "istanbul"],
        ["ont"],
    ),
    "Вот п'ять яблук": (["пять", "п’ять", "пʼять", '"вот п\'ять яблук"'], ["ять"]),
    "חייל צה״ל וג׳ירפה": (['צה"ל', "צהל", "וגירפה", '"חייל צהל"'], ["צה"]),
    "ما می\u200cنوشیم": (["مینوشیم", "می\u200cنوشیم"], ["نوشیم"]),
    "die Donau\u00addampf\u00adschiff": (["donaudampfschiff", "donaudampf*"], ["dampf"]),
    "una col·lega, l\u2060l": (["collega", "col·lega", "ll"], ["lega"]),
    "ទឹក\u200bត្រជាក់ 葛\U000e0100飾区": (["ទឹកត្រជាក់", "葛飾", "葛飾区"], []),
}


def test_characters_that_people_omit_do_not_split_words(world, synced):
    for number, text in enumerate(WRITTEN):
        transcript(world, f"t{number}", "1 2 3", text)
    url = synced()
    for number, (found_by, not_found_by) in enumerate(WRITTEN.values()):
        for asked in found_by:
            assert (f"t{number}", 1.0) in found(url, asked), asked
        for asked in not_found_by:
            assert f"t{number}" not in dict(found(url, asked)), asked


def test_a_hit_is_the_shortest_passage_of_the_whole_transcript(world, synced):
    filler = ["and so on it went the same"] * 300
    lines = [
        *("So the week began.", *filler, "The camera: do not turn.", *filler),
        *("Turn the camera left.", *filler),
    ]
    cues = [
        {"start_time": f"00:{at // 60:02}:{at % 60:02}.000", "end_time": None, "text": text}
        for at, text in enumerate(lines)
    ]
    world.create(task_id="t")
    world.start("t")
    world.finish("t", {"subtitles": cues})
    transcript(world, "u", "so the", "they turn a camera", "off", "turn the camera")
    url = synced()
    for asked in ("turn the camera", '"turn the camera"'):
        assert dict(found(url, asked)) == {"t": 602.0, "u": 3.0}
    with reading(url) as connection:
        snippets = {hit.task_id: hit.snippet for hit in search(connection, "camera the turn")}
    assert "[Turn] [the] [camera] left." in snippets["t"]
    assert snippets["u"] == "[turn] [the] [camera]"


def test_a_long_text_without_subtitles_is_read_once(world, synced, monkeypatch):
    world.create(task_id="t")
    world.start("t")
    world.finish("t", {"concatenated_text": "again and " * 9000 + "at last", "subtitles": []})
    url = synced()
    assert query(url, "SELECT count(*) FROM transcript_parts")[0][0] > 5
    looked_through = []

    def find(lines, terms):
        looked_through.append(lines)
        return find_passage(lines, terms)

    monkeypatch.setattr("etl.search.find.find_passage", find)
    assert found(url, "again") == [("t", None)]
    assert len(looked_through) == 1


def test_next_sync_reindexes_words_of_an_older_release(world, synced):
    transcript(world, "t", "l'homme")
    url = synced()
    engine = open_engine(url)
    words = as_tsvector(["l", "homme"]) if engine.dialect.name == "postgresql" else "l homme"
    with engine.begin() as connection:
        kind = "tsvector" if engine.dialect.name == "postgresql" else "text"
        connection.execute(
            sa.text(f"UPDATE transcript_words SET words = CAST(:words AS {kind})"), {"words": words}
        )
        connection.execute(sa.text("UPDATE sync_state SET words_version = 1"))
    engine.dispose()
    with reading(url) as connection:
        assert not is_complete(connection)
    assert found(url, "lhomme") == []
    synced()
    with reading(url) as connection:
        assert is_complete(connection)
    assert found(url, "lhomme") == found(url, "l'homme") == found(url, "homme") == [("t", 0.0)]


@one_in(2, "text", ODD)
def test_special_syntax_in_a_query_is_harmless(world, synced, text):
    transcript(world, "t", "a b c x y and or not near drop table tasks")
    url = synced()
    assert found(url, text) in ([], [("t", 0.0)])


def test_any_text_can_be_searched(world, synced):
    for language, (sentence, _) in SAID.items():
        transcript(world, language, sentence, languages=[language])
    url = synced()

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.text(max_size=40))
    def attack(text: str) -> None:
        found(url, text)

    attack()


def test_results_archived_before_search_are_indexed_by_next_sync(world, synced):
    transcript(world, "t", "said long ago")
    url = synced()
    engine = open_engine(url)
    with engine.begin() as connection:
        for table in ("transcript_parts", "transcript_words"):
            connection.execute(sa.text(f"DELETE FROM {table}"))
        connection.execute(sa.text("UPDATE sync_state SET words_version = 0"))
    engine.dispose()
    with reading(url) as connection:
        assert not is_complete(connection)
        assert search(connection, "ago") == []
    synced()
    with reading(url) as connection:
        assert is_complete(connection)
    assert found(url, "ago") == [("t", 0.0)]
    assert query(url, "SELECT count(*) FROM transcript_parts") == [(1,)]
