"""
How text is cut into the words that a search goes by: here, and the same for both databases.

Neither splits Chinese or Thai, and each folds in its own way; so they are given words that are ready. Letters
lose case, width and accents. In scripts that put no space between words, and in Korean, where endings cling
to them, every two neighbouring characters are a word, and the last one by itself: whatever part of a line is
looked for is a run of such pairs.

A word with an apostrophe is found whole, with or without it. Where each side may be a word as well (l'homme,
John's, İstanbul'da), it is followed by its parts.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, NamedTuple

from etl.load.folding import APOSTROPHE, LEFT_OUT, UNSPACED, fold, may_have_apostrophe, separated

if TYPE_CHECKING:
    from collections.abc import Iterator

# A better way to cut words gets a new number: then every transcript is cut anew.
VERSION = 2
# Longer ones are cut off: no index takes words of any length.
MAX_WORD = 60

_WORD = re.compile(r"\S+")
# A character and the marks that follow it.
_CLUSTER = re.compile(
    "(?s:.)[\u0300-\u036f\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    "\u3099\u309a\ufe00-\ufe0f\uff9e\uff9f\U000e0100-\U000e01ef]*"
)
_ASCII_WORDS = re.compile(r"[a-z0-9]+")
_NO_SIGNS = str.maketrans("", "", APOSTROPHE + LEFT_OUT)


class Token(NamedTuple):
    """
    A word of the index, and where it begins and ends in a text.

    `number` counts the words of the text: `l'homme` is one word, but three tokens.
    """

    word: str
    start: int
    end: int
    number: int


def tokenize(text: str, *, may_go_on: bool = False) -> list[str]:
    """
    Cut text into folded words, in order.

    Text that `may_go_on` is part of a longer one. Where it ends in an unspaced script, its last character is
    no word by itself, unless it is the only one. A last word with an apostrophe is the whole only, which its
    parts would follow.
    """
    if text.isascii() and not may_have_apostrophe(text):
        return [word[:MAX_WORD] for word in _ASCII_WORDS.findall(text.lower())]
    cut = separated(fold(text))
    if may_go_on:
        return _open_ended(cut)
    if UNSPACED.search(cut) is not None:
        return [token.word for token in _iter_tokens(cut)]
    words: list[str] = []
    for word in cut.split():
        if APOSTROPHE in word:
            words += [token.word for token in _iter_parts(word, 0, 0)]
        else:
            words.append(word.replace(LEFT_OUT, "")[:MAX_WORD])
    return words


def tokenize_with_positions(text: str) -> list[tuple[str, int]]:
    """Return the same words, each with the number of the word in the text that it is, or is a part of."""
    if not may_have_apostrophe(text):
        return list(zip(tokenize(text), itertools.count(), strict=False))
    return [(token.word, token.number) for token in _iter_tokens(separated(fold(text)))]


def token_spans(text: str) -> list[Token]:
    """
    Return the words of text as tokens, with the places in `text` itself.

    Characters are folded one by one here, each with the marks that follow it. Where that comes to something
    else than folding them together, as with Korean letters typed apart, a word differs from `tokenize`.
    """
    if text.isascii():
        return list(_iter_tokens(separated(fold(text))))
    folded, origins = [], []
    for cluster in _CLUSTER.finditer(text):
        piece = fold(cluster[0])
        folded.append(piece)
        origins += [cluster.span()] * len(piece)
    return [
        token._replace(start=origins[token.start][0], end=origins[token.end - 1][1])
        for token in _iter_tokens(separated("".join(folded)))
    ]


def _open_ended(cut: str) -> list[str]:
    tokens = list(_iter_tokens(cut))
    if not tokens:
        return []
    before = [token for token in tokens if token.number < tokens[-1].number]
    last = tokens[len(before)]
    words = [token.word for token in before]
    is_end_of_pair = before and last.end == before[-1].end == len(cut) and is_part_of_pairs(last.word)
    return words if is_end_of_pair else [*words, last.word]


def is_part_of_pairs(word: str) -> bool:
    """Tell whether a word is of an unspaced script, whose words are pairs."""
    return UNSPACED.fullmatch(word) is not None


def _iter_tokens(text: str) -> Iterator[Token]:
    """Cut separated text into tokens."""
    for number, (start, end) in enumerate(_iter_spans(text)):
        yield from _iter_parts(text[start:end], start, number)


def _iter_parts(word: str, start: int, number: int) -> Iterator[Token]:
    """
    Return a word whole, and then its parts.

    Those of `qu'aujourd'hui` are `qu` and `aujourd'hui`, which has parts of its own.
    """
    yield Token(word.translate(_NO_SIGNS)[:MAX_WORD], start, start + len(word), number)
    first, apostrophe, others = word.partition(APOSTROPHE)
    if apostrophe:
        end = start + len(first)
        yield Token(first.translate(_NO_SIGNS)[:MAX_WORD], start, end, number)
        yield from _iter_parts(others, end + 1, number)


def _iter_spans(text: str) -> Iterator[tuple[int, int]]:
    """Give where each word begins and ends in separated text."""
    for word in _WORD.finditer(text):
        place, end = word.span()
        for run in UNSPACED.finditer(text, place, end):
            if place < run.start():
                yield place, run.start()
            for at in range(*run.span()):
                yield at, min(at + 2, run.end())
            place = run.end()
        if place < end:
            yield place, end
