"""
How text is cut into the words that a search goes by: here, and the same for both databases.

Neither splits Chinese or Thai, and each folds in its own way; so they are given words that are ready. Letters
lose case, width and accents. In scripts that put no space between words, and in Korean, where endings cling
to them, every two neighbouring characters are a word, and the last one by itself: whatever part of a line is
looked for is a run of such pairs.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# A better way to cut words gets a new number: then every transcript is cut anew.
VERSION = 1
# Longer ones are cut off: no index takes words of any length.
LONGEST_WORD = 60

_WORD = re.compile(r"\S+")
# A character and the marks that follow it.
_CLUSTER = re.compile(
    "(?s:.)[\u0300-\u036f\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    "\u3099\u309a\uff9e\uff9f]*"
)
_ASCII_WORDS = re.compile(r"[a-z0-9]+")
# Thai, Lao, Tibetan, Burmese, Khmer, Han, kana, bopomofo, Hangul.
_UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u318f\u31a0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uaa60-\uaa7f\uac00-\ud7ff\uf900-\ufaff\U0001b000-\U0001b16f"
    "\U00020000-\U0003ffff]+"
)
# Accents, but for those that make another Cyrillic letter; Hebrew and Arabic vowels, and the stretched line.
_POINTS = re.compile(
    "(?<![\u0400-\u052f])[\u0300-\u036f]+|\u0308|[\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670"
    "\u06d6-\u06ed]+"
)
# Letters that no rule of Unicode takes apart, as people type them who have no key for them.
_PLAIN = str.maketrans(
    {"ł": "l", "đ": "d", "ð": "d", "ø": "o", "\u0131": "i", "æ": "ae", "œ": "oe", "þ": "th"}
)


class _Spaces(dict[int, int]):
    """Maps every character to itself if words are made of it, and to a space if not."""

    def __missing__(self, code: int) -> int:
        is_part = unicodedata.category(chr(code))[0] in "LNM"
        self[code] = code if is_part else ord(" ")
        return self[code]


_SPACES = _Spaces()


def words_of(text: str, *, may_go_on: bool = False) -> list[str]:
    """
    Cut text into folded words, in order.

    Text that `may_go_on` is part of a longer one: where it ends in an unspaced script, its last character is
    no word by itself, unless it is the only one.
    """
    if text.isascii():
        return [word[:LONGEST_WORD] for word in _ASCII_WORDS.findall(text.lower())]
    spaced = fold(text).translate(_SPACES)
    if _UNSPACED.search(spaced) is None:
        return [word[:LONGEST_WORD] for word in spaced.split()]
    words = [spaced[start:end][:LONGEST_WORD] for start, end in _iter_spans(spaced)]
    is_pair = len(words) > 1 and len(words[-2]) > 1 and words[-2].endswith(words[-1])
    if may_go_on and is_pair and _UNSPACED.fullmatch(spaced[-2:]):
        words.pop()
    return words


def spans_of(text: str) -> list[tuple[str, int, int]]:
    """
    Cut text into words, each with the place in `text` where it begins and where it ends.

    Characters are folded one by one here, each with the marks that follow it. Where that comes to something
    else than folding them together, as with Korean letters typed apart, a word differs from `words_of`.
    """
    folded, origins = [], []
    for cluster in _CLUSTER.finditer(text):
        piece = fold(cluster[0])
        folded.append(piece)
        origins += [cluster.span()] * len(piece)
    spaced = "".join(folded).translate(_SPACES)
    return [
        (spaced[start:end][:LONGEST_WORD], origins[start][0], origins[end - 1][1])
        for start, end in _iter_spans(spaced)
    ]


def is_part_of_pairs(word: str) -> bool:
    """Tell whether a word is of an unspaced script, whose words are pairs."""
    return _UNSPACED.fullmatch(word) is not None


def _iter_spans(spaced: str) -> Iterator[tuple[int, int]]:
    """Give where each word begins and ends in folded text whose words are parted by spaces."""
    for word in _WORD.finditer(spaced):
        place, end = word.span()
        for run in _UNSPACED.finditer(spaced, place, end):
            if place < run.start():
                yield place, run.start()
            for at in range(*run.span()):
                yield at, min(at + 2, run.end())
            place = run.end()
        if place < end:
            yield place, end


def fold(text: str) -> str:
    """Take away case, width, accents and vowel points."""
    taken_apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return unicodedata.normalize("NFC", _POINTS.sub("", taken_apart).translate(_PLAIN))
