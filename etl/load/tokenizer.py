"""
The tokenizer for transcript search, which is the same for both databases.

Neither database splits Chinese or Thai into words, and each folds letters differently, so both receive
finished tokens. Tokens ignore case, width and accents. In scripts without spaces between words, and in
Korean, where endings are attached to words, tokens are bigrams: every pair of neighbouring characters, and
the last character on its own. Any part of a text in such a script is then a sequence of bigrams.

A word with an apostrophe is found with or without the apostrophe. If each side may be a word as
well (l'homme, John's, İstanbul'da), the token of the whole word is followed by those of its parts.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, NamedTuple

from etl.load.folding import APOSTROPHE, LEFT_OUT, UNSPACED, fold, may_have_apostrophe, normalize_separators

if TYPE_CHECKING:
    from collections.abc import Iterator

# Stored with the index: after a change of the tokenizer, the next sync indexes all transcripts again.
VERSION = 2
# Longer tokens are truncated, because index entries have a maximum length.
MAX_TOKEN_LENGTH = 60

_WORD = re.compile(r"\S+")
# A character and the combining marks that follow it.
_CLUSTER = re.compile(
    "(?s:.)[\u0300-\u036f\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    "\u3099\u309a\ufe00-\ufe0f\uff9e\uff9f\U000e0100-\U000e01ef]*"
)
_ASCII_WORDS = re.compile(r"[a-z0-9]+")
_NO_SIGNS = str.maketrans("", "", APOSTROPHE + LEFT_OUT)


class Token(NamedTuple):
    """
    A token, with its start and end in the text.

    `number` is the number of its word in the text: `l'homme` is one word, but three tokens.
    """

    text: str
    start: int
    end: int
    number: int


def tokenize(text: str, *, is_partial: bool = False) -> list[str]:
    """
    Return the tokens of a text, in order.

    With `is_partial`, the text is part of a longer one, so more characters may follow. A final character in
    an unspaced script is then not a token of its own, unless it is the only one, and a final word with an
    apostrophe yields only the token of the whole word.
    """
    if text.isascii() and not may_have_apostrophe(text):
        return [word[:MAX_TOKEN_LENGTH] for word in _ASCII_WORDS.findall(text.lower())]
    normalized = normalize_separators(fold(text))
    if is_partial:
        return _tokenize_partial(normalized)
    if UNSPACED.search(normalized) is not None:
        return [token.text for token in _iter_tokens(normalized)]
    tokens: list[str] = []
    for word in normalized.split():
        if APOSTROPHE in word:
            tokens += [token.text for token in _iter_word_tokens(word, 0, 0)]
        else:
            tokens.append(word.replace(LEFT_OUT, "")[:MAX_TOKEN_LENGTH])
    return tokens


def tokenize_with_positions(text: str) -> list[tuple[str, int]]:
    """Return the same tokens, each with the number of its word in the text."""
    if not may_have_apostrophe(text):
        return list(zip(tokenize(text), itertools.count(), strict=False))
    return [(token.text, token.number) for token in _iter_tokens(normalize_separators(fold(text)))]


def token_spans(text: str) -> list[Token]:
    """
    Return the tokens of a text with their start and end in `text` itself, before folding.

    Characters are folded one by one, each with its combining marks. If folding them together has a different
    result, as with decomposed Korean syllables, a token differs from that of `tokenize`.
    """
    if text.isascii():
        return list(_iter_tokens(normalize_separators(fold(text))))
    folded, origins = [], []
    for cluster in _CLUSTER.finditer(text):
        piece = fold(cluster[0])
        folded.append(piece)
        origins += [cluster.span()] * len(piece)
    return [
        token._replace(start=origins[token.start][0], end=origins[token.end - 1][1])
        for token in _iter_tokens(normalize_separators("".join(folded)))
    ]


def is_unspaced(token: str) -> bool:
    """Return whether a token is in an unspaced script, in which tokens are bigrams."""
    return UNSPACED.fullmatch(token) is not None


def _tokenize_partial(normalized: str) -> list[str]:
    tokens = list(_iter_tokens(normalized))
    if not tokens:
        return []
    before = [token for token in tokens if token.number < tokens[-1].number]
    last = tokens[len(before)]
    texts = [token.text for token in before]
    is_end_of_bigram = before and last.end == before[-1].end == len(normalized) and is_unspaced(last.text)
    return texts if is_end_of_bigram else [*texts, last.text]


def _iter_tokens(normalized: str) -> Iterator[Token]:
    for number, (start, end) in enumerate(_iter_spans(normalized)):
        yield from _iter_word_tokens(normalized[start:end], start, number)


def _iter_word_tokens(word: str, start: int, number: int) -> Iterator[Token]:
    """
    Yield the token of a whole word, then those of its parts.

    The parts of `qu'aujourd'hui` are `qu` and `aujourd'hui`, which has parts of its own.
    """
    yield Token(word.translate(_NO_SIGNS)[:MAX_TOKEN_LENGTH], start, start + len(word), number)
    first, apostrophe, rest = word.partition(APOSTROPHE)
    if apostrophe:
        end = start + len(first)
        yield Token(first.translate(_NO_SIGNS)[:MAX_TOKEN_LENGTH], start, end, number)
        yield from _iter_word_tokens(rest, end + 1, number)


def _iter_spans(normalized: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each word, or of each bigram."""
    for word in _WORD.finditer(normalized):
        start, end = word.span()
        for run in UNSPACED.finditer(normalized, start, end):
            if start < run.start():
                yield start, run.start()
            for at in range(*run.span()):
                yield at, min(at + 2, run.end())
            start = run.end()
        if start < end:
            yield start, end
