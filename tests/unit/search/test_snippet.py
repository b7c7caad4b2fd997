# ruff: noqa: RUF001
"""The passage of a transcript in which the terms are closest together, and its snippet."""

from __future__ import annotations

import itertools
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.load.tokenizer import token_spans, tokenize, tokenize_with_positions
from etl.search.query import parse_query
from etl.search.snippet import CONTEXT, Subtitle, find_passage, mark


def subtitles_of(*texts: str) -> list[Subtitle]:
    """Return subtitles that last one second each."""
    return [Subtitle(text, second, second + 1) for second, text in enumerate(texts)]


def found(query: str, *texts: str) -> tuple[float | None, str]:
    passage = find_passage(subtitles_of(*texts), parse_query(query))
    return passage.subtitle.start_seconds, passage.snippet


CAMERA = (
    "So the week began.",
    "We talked of many small things, as one does.",
    "Please turn the camera left.",
)


def test_shortest_passage_wins():
    assert found("turn the camera", *CAMERA) == (2, "Please [turn] [the] [camera] left.")
    assert found('"turn the camera"', *CAMERA) == (2, "Please [turn the camera] left.")
    assert found("c'est là", "À la semaine prochaine", "là, mais", "oui, c’est là")[0] == 2


@pytest.mark.parametrize(
    "query, passages, first",
    [
        # The first of several passages of the same length.
        ("red door", ["a red", "red door", "door red", "red door"], 1),
        # Repeated words.
        ("the the cat", ["the", "the dog the cat", "a cat the", "the cat"], 1),
        ("the cat", ["the the the big cat", "the cat"], 1),
        ("a b", ["a a a x b", "a b"], 1),
        # In any order, and across subtitles.
        ("door red", ["the door x red", "red|door"], 1),
        ("one two three", ["one two x x three", "one|two|three"], 1),
        # Phrases and prefixes.
        ('"red door" house', ["red house door", "house x red door", "the red door house"], 2),
        ("cam* turn", ["camel x turn", "turn camera"], 1),
        # More than thirty words apart.
        ("left right", ["left", f"left {'x ' * 50} right", f"left {'x ' * 40} right"], 2),
        # A word, and a part of a word.
        ("c'est est", ["est x cest", "c'est"], 1),
        ("là c'est", ["cest bien là", "là c'est"], 1),
        # Scripts without spaces, and from right to left.
        ("地图 城市", ["我们的城市很大, 没有地图", "城市地图"], 1),
        ("เย็น น้ำ", ["เย็นมากและน้ำ", "น้ำเย็น"], 1),
        ("冷たい 水", ["冷たい風と水", "冷たい水"], 1),
        ("מים קרים", ["מים לא קרים", "מים קרים"], 1),
    ],
)
def test_passage_is_where_terms_are_closest_together(query, passages, first):
    lines = []
    for second, passage in enumerate(passages):
        lines += [Subtitle(text, second, second + 1) for text in passage.split("|")]
        lines.append(Subtitle("z " * 100, None, None))
    assert find_passage(lines, parse_query(query)).subtitle.start_seconds == first


@given(
    st.lists(st.lists(st.sampled_from("abcx"), max_size=6), max_size=8),
    st.sets(st.sampled_from("abc"), min_size=1),
)
def test_passage_matches_brute_force_search(texts, asked):
    lines = subtitles_of(*map(" ".join, texts))
    passage = find_passage(lines, parse_query(" ".join(sorted(asked))))
    words = [(word, second) for second, text in enumerate(texts) for word in text]
    there = asked & {word for word, _ in words}
    if not there:
        assert passage.snippet == ""
        return
    spans = [
        (end - start, start)
        for start, end in itertools.combinations(range(len(words) + 1), 2)
        if there <= {word for word, _ in words[start:end]}
    ]
    width, start = min(spans)
    assert (passage.width, passage.subtitle.start_seconds) == (width, words[start][1])


def test_search_time_is_linear_in_words():
    def steps(words: int) -> int:
        """Count the lines of Python that are executed for terms that occur everywhere."""
        lines = subtitles_of("a " * words, "b " * words)
        terms = parse_query("a b")
        ran = 0

        def count(*_) -> object:
            nonlocal ran
            ran += 1
            return count

        before = sys.gettrace()
        sys.settrace(count)
        try:
            find_passage(lines, terms)
        finally:
            sys.settrace(before)
        return ran

    few, many = steps(200), steps(800)
    assert few > 400
    assert many < 5 * few


def test_part_starting_inside_a_subtitle_is_searched_fully():
    texts = ["x " * 1500, "y " * 1800, "needle"]
    assert found("needle", *texts)[0] == 2


def test_snippet_shows_surrounding_text():
    text = f"{'before ' * 30}the needle {'after ' * 30}"
    shown = mark(text, parse_query("needle"))
    assert "[needle]" in shown
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert len(shown) < 150
    assert mark("我们先看一下地图。", parse_query("地图")) == "我们先看一下[地图]。"


def test_snippet_omits_text_between_distant_terms():
    texts = ["alpha begins", *(f"line {number} of many" for number in range(200)), "and omega ends"]
    second, shown = found("alpha omega", *texts)
    assert second == 0
    before, between, after = shown.partition(" … ")
    assert between
    assert before.startswith("[alpha] begins line 0")
    assert after.endswith("and [omega] ends")
    assert len(shown) < 4 * CONTEXT


def test_matches_are_bracketed_as_written():
    for text, query, shown in (
        ("Mais c’est là.", "c'est", "Mais [c’est] là."),
        ("Mais c’est là.", "est", "Mais c’[est] là."),
        ("die Donau\u00addampf\u00adfahrt", "donaudampffahrt", "die [Donau\u00addampf\u00adfahrt]"),
        ("ما می\u200cنوشیم", "مینوشیم", "ما [می\u200cنوشیم]"),
        ("葛\U000e0100飾区", "葛飾", "[葛\U000e0100飾]区"),
        ("the cafe\u0301s", "cafés", "the [cafe\u0301s]"),
    ):
        assert mark(text, parse_query(query)) == shown


@given(st.text(max_size=60), st.text(max_size=10))
def test_snippet_consists_of_original_text(text, query):
    terms = parse_query(query)
    shown = mark(text, terms)
    kept = shown.replace("[", "").replace("]", "")
    if "…" not in text:
        for piece in kept.split("…"):
            assert " ".join(piece.split()) in " ".join(text.replace("[", "").replace("]", "").split())


@given(st.text(st.sampled_from("ab'’ŉ´·\"צ\u200d東京é\u0301＇ 1.")))
def test_token_numbers_follow_text_order(text):
    numbers = [number for _, number in tokenize_with_positions(text)]
    assert sorted(numbers) == numbers
    assert sorted(set(numbers)) == list(range(len(set(numbers))))
    assert [word for word, _ in tokenize_with_positions(text)] == tokenize(text)
    assert numbers == [token.number for token in token_spans(text)]
