# ruff: noqa: RUF001
"""How text is cut into words, and what a person's query makes of it."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.load.words import spans_of, words_of
from etl.search.query import as_fts5, as_tsquery, parse_query
from etl.search.snippet import Line, find_moment, mark

CUT = {
    "Hello, World! It's 1,000.": "hello world it s 1 000",
    "L'ÉTÉ où Größe Straße": "l ete ou grosse strasse",
    "Zażółć gęślą jaźń, Łucja": "zazolc gesla jazn lucja",
    "İyi Işığı": "iyi isigi",
    "Ещё й Їжак": "еще й іжак",
    "東京都 2020年": "東京 京都 都 2020 年",
    "김치를 담가": "김치 치를 를 담가 가",
    "ｶﾞ ＡＢＣ": "ガ abc",
    "नमस्ते, आपका स्वागत है।": "नमस्ते आपका स्वागत है",
    "أيها مُحَمَّد": "ايها محمد",
    "עֶרֶב טוב": "ערב טוב",
    "a東b": "a 東 b",
    "x_y\tz\0": "x y z",
}


@pytest.mark.parametrize("text", CUT)
def test_text_is_cut_and_folded(text):
    assert " ".join(words_of(text)) == CUT[text]


@pytest.mark.parametrize("text", CUT)
def test_each_word_is_known_by_its_place(text):
    found = [" ".join(words_of(text[start:end])) for _, start, end in spans_of(text)]
    assert [word for word, _, _ in spans_of(text)] == CUT[text].split()
    # The characters of a pair, cut by themselves, are that pair and its second half.
    assert all(each.split(" ")[0] == word for each, word in zip(found, CUT[text].split(), strict=True))


@given(st.text())
def test_cutting_words_once_more_changes_none(text):
    words = words_of(text)
    assert all(word and word.split() == [word] for word in words)
    assert words_of(" ".join(word for word in words if len(word) > 1 or word.isascii())) is not None


def test_a_query_is_words_phrases_and_beginnings():
    terms = parse_query('Guten "ABEND schön" gro* 東京 東 "')
    assert as_fts5(terms) == '"guten" AND "abend schon" AND "gro" * AND "東京" AND "東" *'
    assert as_tsquery(terms) == "('guten') & ('abend' <-> 'schon') & ('gro':*) & ('東京') & ('東':*)"


def test_signs_of_the_databases_are_no_more_than_signs():
    assert as_fts5(parse_query("AND OR (x) NEAR/3 -y : ^z & | ! <-> ' \\")) == (
        '"and" AND "or" AND "x" AND "near 3" AND "y" AND "z"'
    )


@given(st.text())
def test_no_query_is_an_error_to_fts5(text):
    terms = parse_query(text)
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE t USING fts5(words, tokenize = 'ascii', prefix = '1 2 3')")
    connection.execute("INSERT INTO t VALUES (?)", (" ".join(words_of(text)),))
    if terms:
        assert connection.execute("SELECT count(*) FROM t WHERE t MATCH ?", (as_fts5(terms),)).fetchone()
    connection.close()


@given(st.text(alphabet="ab 東京都é\"*'김치", max_size=30))
def test_a_text_is_found_by_itself(text):
    words = words_of(text)
    for term in parse_query(text.replace('"', " ")):
        assert any(term.starts_at(words, place) for place in range(len(words)))


def test_the_moment_is_where_most_terms_are_said_together():
    filler = Line("nothing " * 40, 1, 2)
    lines = [Line("red paint", 0, 1), filler, Line("blue", 2, 3), filler]
    lines += [Line("a red and", 5, 6), Line("blue door", 6, 7)]
    moment = find_moment(lines, parse_query("red blue"))
    assert moment.line.start_seconds == 5
    assert moment.snippet == "a [red] and [blue] door"


def test_a_snippet_shows_what_is_around():
    text = f"{'before ' * 30}the needle {'after ' * 30}"
    shown = mark(text, parse_query("needle"))
    assert "[needle]" in shown
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert len(shown) < 150
    assert mark("我们先看一下地图。", parse_query("地图")) == "我们先看一下[地图]。"
