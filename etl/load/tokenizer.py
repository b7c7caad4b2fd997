"""
The tokenizer for transcript search, which is the same for both databases.

Neither database splits Chinese or Thai into words, and each folds letters differently, so both receive
finished tokens. Tokens ignore case, width and accents. In scripts without spaces between words, and in
Korean, where endings are attached to words, tokens are bigrams: every pair of neighbouring characters, and
the last character on its own. Any part of a text in such a script is then a sequence of bigrams.

A word with an apostrophe is found with or without the apostrophe. If each side may be a word as
well (l'homme, John's, İstanbul'da), the token of the whole word is followed by those of its parts.

Folded text has no case, width, accents, vowel points or invisible characters. `normalize_separators` then
keeps only the characters of words, spaces between words, and two signs inside words.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# Stored with the index: after a change of the tokenizer, the next sync indexes all transcripts again.
VERSION = 2
# Longer tokens are truncated, because index entries have a maximum length.
MAX_TOKEN_LENGTH = 60

# In normalized text: an apostrophe whose sides are words as well, and any other sign inside a word.
APOSTROPHE, LEFT_OUT = "'", "\u00b7"
# Thai, Lao, Tibetan, Burmese, Khmer, Han, kana, bopomofo, Hangul.
UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u318f\u31a0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uaa60-\uaa7f\uac00-\ud7ff\uf900-\ufaff\U0001b000-\U0001b16f"
    "\U00020000-\U0003ffff]+"
)

# Unicode's Default_Ignorable_Code_Point: soft hyphen, joiners, variation selectors, marks of direction.
_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Hebrew and Arabic vowels, the tatweel, and combining accents without precomposed letters.
_MARKS = (
    "\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed\u1ab0-\u1aff\u1dc0-\u1dff"
    "\u20d0-\u20ff\ufe20-\ufe2f"
)
_CYRILLIC_VOWELS = "\u0430\u0435\u0438\u043e\u0443\u044b\u044d-\u044f\u0454\u0456\u04af\u04b1\u04d9\u04e9"
# All accents, except those that make a different Cyrillic letter: there, only the diaeresis, and stress
# marks on vowels. Each alternative begins with a mark and looks behind it last, so that the search skips
# other text.
_POINTS = re.compile(
    f"[{_MARKS}{_INVISIBLE}]+|\u0308|[\u0300-\u036f](?<![\u0400-\u052f].)[\u0300-\u036f]*"
    f"|[\u0300\u0301](?<=[{_CYRILLIC_VOWELS}].)"
)
# Letters that Unicode does not decompose, as typed on keyboards without them.
_PLAIN = str.maketrans(
    {"ł": "l", "đ": "d", "ð": "d", "ø": "o", "\u0131": "i", "æ": "ae", "œ": "oe", "þ": "th"}
)
# Typed instead of an apostrophe; NFKD would turn each into a space and an accent.
_SPACING_ACCENTS = re.compile("[\u00b4\u1fbd\u1fbf\u1ffd]")

# Apostrophes and their look-alikes in Hawaiian, Uzbek, transcribed Arabic and Hebrew.
_APOSTROPHES = re.compile(
    "['`\u02b9\u02bb-\u02bf\u055a\u05f3\u07f4\u07f5\u2018\u2019\u201b\u2032\ua78b\ua78c]"
)
# Characters that are or fold to an apostrophe.
_MAY_BE_APOSTROPHE = re.compile(f"{_APOSTROPHES.pattern}|{_SPACING_ACCENTS.pattern}|[\u0149\uff07]")
# The Hebrew gershayim, and quotation marks typed instead of it.
_QUOTES = re.compile('["\u05f4\u201c-\u201f]')
_MIDDLE_DOTS = re.compile("[\u00b7\u2027]")
_SIGNS = re.compile(f"['\"{LEFT_OUT}]+")
_HEBREW = re.compile("[\u05d0-\u05ea\u05ef-\u05f2]")
# Folded Latin and Greek letters.
_ELIDING = re.compile("[a-z\u00df-\u02af\u0370-\u03ff\u1e00-\u1fff\u2c60-\u2c7f\ua720-\ua7ff\uab30-\uab6f]")

_WORD = re.compile(r"\S+")
# A character and the combining marks that follow it.
_CLUSTER = re.compile(
    "(?s:.)[\u0300-\u036f\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    "\u3099\u309a\ufe00-\ufe0f\uff9e\uff9f\U000e0100-\U000e01ef]*"
)
_ASCII_WORDS = re.compile(r"[a-z0-9]+")
_NO_SIGNS = str.maketrans("", "", APOSTROPHE + LEFT_OUT)


class _Separators(dict[int, int]):
    """Maps a character to itself if it can be part of a word, else to one of _SIGNS or a space."""

    def __missing__(self, code: int) -> int:
        self[code] = ord(_mapped(chr(code)))
        return self[code]


def _mapped(character: str) -> str:
    for pattern, sign in ((_APOSTROPHES, APOSTROPHE), (_QUOTES, '"'), (_MIDDLE_DOTS, LEFT_OUT)):
        if pattern.match(character):
            return sign
    return character if unicodedata.category(character)[0] in "LNM" else " "


_SEPARATORS = _Separators()


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
    Return the tokens of a string, in order.

    With `is_partial`, it is part of a longer one, so more characters may follow. A final character in
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
    Return the tokens of a string with their start and end in `text` itself, before folding.

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


def fold(text: str) -> str:
    """Return text without case, width, accents, vowel points and invisible characters."""
    if text.isascii():
        return text.lower()
    text = _SPACING_ACCENTS.sub(APOSTROPHE, text)
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return unicodedata.normalize("NFC", _POINTS.sub("", decomposed).translate(_PLAIN))


def normalize_separators(folded: str) -> str:
    """
    Return folded text with nothing but spaces between words; its length does not change.

    Apostrophes and middle dots between letters belong to a word, as do Hebrew quotation marks in an
    abbreviation. `APOSTROPHE` stands for an apostrophe between Latin or Greek letters, `LEFT_OUT` for any
    other such sign. Unspaced scripts have none.
    """
    return _SIGNS.sub(_replace_signs, folded.translate(_SEPARATORS))


def may_have_apostrophe(text: str) -> bool:
    """Return whether the normalized text may contain an `APOSTROPHE`."""
    return _MAY_BE_APOSTROPHE.search(text) is not None


def _replace_signs(signs: re.Match[str]) -> str:
    text, start, end = signs.string, *signs.span()
    before, after = text[max(start - 1, 0) : start], text[end : end + 1]
    if len(signs[0]) > 1 or not (_is_letter(before) and _is_letter(after)):
        return " " * len(signs[0])
    if signs[0] == '"':
        return LEFT_OUT if _HEBREW.match(before) and _HEBREW.match(after) else " "
    if signs[0] == APOSTROPHE and _ELIDING.match(before) and _ELIDING.match(after):
        return APOSTROPHE
    return LEFT_OUT


def _is_letter(character: str) -> bool:
    return bool(character) and not (character == " " or character.isnumeric() or UNSPACED.match(character))
