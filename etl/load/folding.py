"""
Which characters are the same to a search, which make up words, and which stand between them.

Folded text has no case, width, accents or vowel points, and nothing that cannot be seen. `separated` then
leaves in it only what words are made of, spaces between them, and two signs inside of them.
"""

from __future__ import annotations

import re
import unicodedata

# In separated text: an apostrophe whose sides are words as well, and a sign that is no part of its word.
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
# Hebrew and Arabic vowels, the stretched line, and accents that no single letter has.
_MARKS = (
    "\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed\u1ab0-\u1aff\u1dc0-\u1dff"
    "\u20d0-\u20ff\ufe20-\ufe2f"
)
_CYRILLIC_VOWELS = "\u0430\u0435\u0438\u043e\u0443\u044b\u044d-\u044f\u0454\u0456\u04af\u04b1\u04d9\u04e9"
# Accents, but for those that make another Cyrillic letter. There, the two dots go, and the stress on a vowel.
# What stands before is looked at last: so the search runs from one of these characters to the next.
_POINTS = re.compile(
    f"[{_MARKS}{_INVISIBLE}]+|\u0308|[\u0300-\u036f](?<![\u0400-\u052f].)[\u0300-\u036f]*"
    f"|[\u0300\u0301](?<=[{_CYRILLIC_VOWELS}].)"
)
# Letters that no rule of Unicode takes apart, as people type them who have no key for them.
_PLAIN = str.maketrans(
    {"ł": "l", "đ": "d", "ð": "d", "ø": "o", "\u0131": "i", "æ": "ae", "œ": "oe", "þ": "th"}
)
# Typed for an apostrophe; Unicode's rules would make a space and an accent of each.
_SPACING_ACCENTS = re.compile("[\u00b4\u1fbd\u1fbf\u1ffd]")

# An apostrophe as it is typed, and what looks like one: in Hawaiian, Uzbek, transcribed Arabic, Hebrew.
_APOSTROPHES = re.compile(
    "['`\u02b9\u02bb-\u02bf\u055a\u05f3\u07f4\u07f5\u2018\u2019\u201b\u2032\ua78b\ua78c]"
)
# What may become one of these.
_MAY_BE_APOSTROPHE = re.compile(f"{_APOSTROPHES.pattern}|{_SPACING_ACCENTS.pattern}|[\u0149\uff07]")
# The Hebrew gershayim, and the quotation marks that are typed for it.
_QUOTES = re.compile('["\u05f4\u201c-\u201f]')
_MIDDLE_DOTS = re.compile("[\u00b7\u2027]")
_SIGNS = re.compile(f"['\"{LEFT_OUT}]+")
_HEBREW = re.compile("[\u05d0-\u05ea\u05ef-\u05f2]")
# Folded Latin and Greek letters.
_ELIDING = re.compile("[a-z\u00df-\u02af\u0370-\u03ff\u1e00-\u1fff\u2c60-\u2c7f\ua720-\ua7ff\uab30-\uab6f]")


class _Separators(dict[int, int]):
    """Maps every character to itself if words are made of it, to one of _SIGNS, or to a space."""

    def __missing__(self, code: int) -> int:
        self[code] = ord(_mapped(chr(code)))
        return self[code]


def _mapped(character: str) -> str:
    for pattern, sign in ((_APOSTROPHES, APOSTROPHE), (_QUOTES, '"'), (_MIDDLE_DOTS, LEFT_OUT)):
        if pattern.match(character):
            return sign
    return character if unicodedata.category(character)[0] in "LNM" else " "


_SEPARATORS = _Separators()


def fold(text: str) -> str:
    """Return text without case, width, accents, vowel points and invisible characters."""
    if text.isascii():
        return text.lower()
    text = _SPACING_ACCENTS.sub(APOSTROPHE, text)
    taken_apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return unicodedata.normalize("NFC", _POINTS.sub("", taken_apart).translate(_PLAIN))


def separated(folded: str) -> str:
    """
    Return folded text with spaces between its words, and as long as it was.

    An apostrophe and a middle dot between letters are inside a word, as are Hebrew quotation marks in an
    abbreviation. `APOSTROPHE` is one between Latin or Greek letters, `LEFT_OUT` any other sign. Scripts
    without spaces have no such signs.
    """
    return _SIGNS.sub(_settled, folded.translate(_SEPARATORS))


def may_have_apostrophe(text: str) -> bool:
    """Return whether there can be an `APOSTROPHE` in the text once it is folded and separated."""
    return _MAY_BE_APOSTROPHE.search(text) is not None


def _settled(signs: re.Match[str]) -> str:
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
