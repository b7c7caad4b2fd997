# ruff: noqa: RUF001
"""How text is tokenized, and how queries are parsed."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.load.tokenizer import token_spans, tokenize
from etl.search.query import as_fts5, as_tsquery, parse_query

CUT = {
    "Hello, World! It's 1,000.": "hello world its it s 1 000",
    "L'ÉTÉ où Größe Straße": "lete l ete ou grosse strasse",
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
def test_text_is_tokenized_and_folded(text):
    assert " ".join(tokenize(text)) == CUT[text]


@pytest.mark.parametrize("text", CUT)
def test_token_spans_match_the_text(text):
    found = [" ".join(tokenize(text[token.start : token.end])) for token in token_spans(text)]
    assert [token.text for token in token_spans(text)] == CUT[text].split()
    # A pair of CJK characters, tokenized on its own, yields the pair and its second character.
    assert all(each.split(" ")[0] == word for each, word in zip(found, CUT[text].split(), strict=True))


# Spellings that must yield the same tokens.
SAME = {
    "apostrophes": ["don't", "don’t", "donʼt", "don`t", "don´t", "don＇t", "don‘t", "don′t", "DON'T"],
    "French": ["c'est", "c’est", "C’EST"],
    "two of them": ["qu'aujourd'hui", "qu’aujourd’hui"],
    "Hawaiian": ["Hawaiʻi", "Hawai'i", "hawai‘i"],
    "Uzbek": ["oʻzbek", "o'zbek", "o‘zbek"],
    "Ukrainian": ["п'ять", "п’ять", "пʼять", "пять"],
    "Belarusian": ["п'ём", "п’ем", "пем"],
    "Bashkir, stress": ["за́мок", "замок"],
    "Hebrew geresh": ["ג'ירפה", "ג׳ירפה", "גירפה"],
    "Hebrew gershayim": ['צה"ל', "צה״ל", "צה”ל", "צהל"],
    "a geresh at the end": ["סנדוויץ'", "סנדוויץ׳", "סנדוויץ"],
    "Catalan": ["col·lega", "coŀlega", "col‧lega", "collega"],
    "Persian": ["می\u200cنوشیم", "مینوشیم"],
    "Malayalam": ["ക്\u200dഷ", "ക്ഷ"],
    "Sinhala": ["ශ්\u200dරී", "ශ්රී"],
    "Arabic, stretched": ["محـمد", "محمد"],
    "soft hyphen": ["Donau\u00addampf\u00adschiff", "Donaudampfschiff"],
    "word joiner": ["a\u2060b", "a\ufeffb", "a\u034fb", "ab"],
    "marks of direction": ["שלום\u200f", "\u202bשלום\u202c", "\u2067ש\u200eלום\u2069", "שלום"],
    "zero width space": ["ទឹក\u200bត្រជាក់", "ទឹកត្រជាក់"],
    "variation selectors": ["葛\U000e0100飾", "葛\ufe00飾", "葛飾"],
    "Mongolian": ["ᠮᠣᠩ\u180bᠭᠣᠯ", "ᠮᠣᠩᠭᠣᠯ"],
    "accents put together": ["e\u0301te\u0301", "été", "ete"],
    "accents out of the ordinary": ["x\u1dc4y\u20d7", "xy"],
}


@pytest.mark.parametrize("name", SAME)
def test_optional_characters_do_not_change_tokens(name):
    first, *others = SAME[name]
    for other in others:
        assert tokenize(other) == tokenize(first), ascii(other)
        assert parse_query(other) == parse_query(first), ascii(other)
        assert [token.text for token in token_spans(other)] == tokenize(first), ascii(other)


# Texts with queries that match them, and texts with queries that do not.
FOUND = {
    "Je crois que c’est là.": ("c'est là", "cest", "est", "là", "c'es*", '"que c\'est là"', '"est là"', "c"),
    "L'homme à l'eau froide": ("homme", "lhomme", "l'homme", '"eau froide"', '"à l\'eau froide"', "l'ea*"),
    "jusqu'aujourd'hui même": ("aujourd'hui", "aujourdhui", '"aujourd\'hui même"', "jusqu'aujourd'hui"),
    "John's car isn't İstanbul'da": ("john", "johns", "john's", "isnt", "istanbul", "istanbul'da", "car"),
    "Он съел п'ять штук": ("пять", "п’ять", '"съел пять штук"'),
    'חייל צה"ל הודיע': ('צה"ל', "צהל", '"צהל הודיע"'),
    "rock 'n' roll": ("rock 'n' roll", '"rock n roll"', "n"),
    "the ‘quoted’ word": ("quoted", '"the quoted word"'),
    "خواهم می‌خواهم": ("میخواهم", '"خواهم می‌خواهم"'),
    "e‑mail non‐stop": ("e-mail", '"e mail"', "non-stop", "stop"),
}
NOT_FOUND = {
    "п'ять": ("ять", "п"),
    "It's 5'10\" tall": ("510", "its5"),
    "foo''bar": ("foobar",),
    'he said "no"and left': ("noand",),
}


def is_found(query: str, text: str) -> bool:
    words = tokenize(text)
    terms = parse_query(query)
    assert terms
    return all(any(term.starts_at(words, place) for place in range(len(words))) for term in terms)


@pytest.mark.parametrize("text", FOUND)
def test_words_with_apostrophes_match_whole_or_in_parts(text):
    for query in FOUND[text]:
        assert is_found(query, text), query


@pytest.mark.parametrize("text", NOT_FOUND)
def test_fragments_and_joined_words_do_not_match(text):
    for query in NOT_FOUND[text]:
        assert not is_found(query, text), query


@given(st.text())
def test_tokens_are_not_empty_and_contain_no_spaces(text):
    words = tokenize(text)
    assert all(word and word.split() == [word] for word in words)
    assert tokenize(" ".join(word for word in words if len(word) > 1 or word.isascii())) is not None


def test_query_supports_words_phrases_and_prefixes():
    terms = parse_query('Guten "ABEND schön" gro* 東京 東 "')
    assert as_fts5(terms) == '"guten" AND "abend schon" AND "gro" * AND "東京" AND "東" *'
    assert as_tsquery(terms) == "('guten') & ('abend' <-> 'schon') & ('gro':*) & ('東京') & ('東':*)"


def test_query_operators_have_no_special_meaning():
    assert as_fts5(parse_query("AND OR (x) NEAR/3 -y : ^z & | ! <-> ' \\")) == (
        '"and" AND "or" AND "x" AND "near 3" AND "y" AND "z"'
    )


@given(st.text())
def test_any_query_is_valid_fts5(text):
    terms = parse_query(text)
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE t USING fts5(words, tokenize = 'ascii', prefix = '1 2 3')")
    connection.execute("INSERT INTO t VALUES (?)", (" ".join(tokenize(text)),))
    if terms:
        assert connection.execute("SELECT count(*) FROM t WHERE t MATCH ?", (as_fts5(terms),)).fetchone()
    connection.close()


@given(st.text(alphabet="ab 東京都é\"*'김치", max_size=30))
def test_text_matches_its_own_words(text):
    words = tokenize(text)
    for term in parse_query(text.replace('"', " ")):
        assert any(term.starts_at(words, place) for place in range(len(words)))
