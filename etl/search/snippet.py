"""Where in a transcript the terms stand, and what is said around. Pure."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from etl.load.tokenizer import Token, token_spans, tokenize_with_positions
from etl.load.transcript_index import MAX_TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from etl.search.query import Term

# Of the text before and after what was found, so many characters are shown.
AROUND = 60
# Lines that a phrase may reach over, or that are shown behind it.
_MAX_LINES = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One line of a transcript; its times are seconds."""

    text: str
    start_seconds: float | None
    end_seconds: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class Moment:
    """
    The line where something was found, and the text around with brackets about what was found.

    `width` is over how many words the terms are spread.
    """

    line: Line
    snippet: str
    width: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Place:
    """Where a term stands: from which word to which, and from which line or character to which."""

    term: Term
    start: int
    end: int
    first: int
    last: int


def find_moment(lines: list[Line], terms: list[Term]) -> Moment:
    """
    Return the narrowest stretch of a part that holds all terms, or as many of them as there are.

    Of several that are equally narrow it is the first.
    """
    stretch = _narrowest(_find_places(_tokens_of_part(lines), terms))
    if not stretch:
        return Moment(Line("", None, None), "", 0)
    first, last = min(place.first for place in stretch), max(place.last for place in stretch)
    width = max(place.end for place in stretch) - min(place.start for place in stretch)
    text = " ".join(line.text for line in lines[first : last + _MAX_LINES])
    return Moment(lines[first], mark(text, terms), width)


def mark(text: str, terms: list[Term]) -> str:
    """
    Return what is said around the narrowest stretch with all terms, on one line.

    There are brackets about each term. Where they stand far apart, what is between them is left out.
    """
    places = _find_places(token_spans(text), terms)
    marks = _merged((place.first, place.last) for place in places)
    windows = [(place.first - AROUND, place.last + AROUND) for place in _narrowest(places)]
    windows += [span for span in marks if any(span[0] < end and start < span[1] for start, end in windows)]
    windows = _merged(sorted(windows)) or [(0, AROUND)]
    shown = " … ".join(_bracketed(text, max(0, start), end, marks) for start, end in windows)
    before, after = "…" if windows[0][0] > 0 else "", "…" if windows[-1][1] < len(text) else ""
    return " ".join(f"{before}{shown}{after}".split())


def _bracketed(text: str, start: int, end: int, marks: list[tuple[int, int]]) -> str:
    shown = []
    for first, last in marks:
        if start <= first < end:
            shown += [text[start:first], "[", text[first:last], "]"]
            start = last
    return "".join([*shown, text[start:end]])


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join spans, sorted by where they begin, that overlap or touch."""
    merged: list[tuple[int, int]] = []
    for start, end in spans:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _tokens_of_part(lines: list[Line]) -> list[Token]:
    """Return the tokens of a part, numbered through all lines; where each begins and ends is its line."""
    tokens: list[Token] = []
    most = MAX_TOKENS
    for owner, line in enumerate(lines):
        if len(tokens) >= most:
            break
        before = tokens[-1].number + 1 if tokens else 0
        cut = tokenize_with_positions(line.text)
        tokens += [Token(word, owner, owner, before + number) for word, number in cut]
        # The part begins somewhere in its first line, and has so many words from there.
        most += 0 if owner else len(cut)
    return tokens


def _find_places(tokens: list[Token], terms: list[Term]) -> list[_Place]:
    """Return where each term stands, in the order of the text."""
    words = [token.text for token in tokens]
    # Few places need a closer look: those with the word that a term begins with.
    beginnings = [term for term in terms if term.is_prefix and len(term.words) == 1]
    by_first_word: dict[str, list[Term]] = {}
    for term in terms:
        if term not in beginnings:
            by_first_word.setdefault(term.words[0], []).append(term)
    found = []
    for place, word in enumerate(words):
        for term in (*by_first_word.get(word, ()), *beginnings):
            if term.starts_at(words, place):
                first, last = tokens[place], tokens[place + len(term.words) - 1]
                found.append(_Place(term, first.number, last.number + 1, first.start, last.end))
    return found


def _narrowest(places: list[_Place]) -> list[_Place]:
    """Return a place of each term such that they are as near to each other as can be."""
    next_places: dict[Term, _Place] = {}
    found: list[_Place] = []
    number, least = len({place.term for place in places}), 0
    # Backwards, so that at each place it is known where every other term comes next.
    for place in reversed(places):
        next_places[place.term] = place
        if len(next_places) == number:
            width = max(each.end for each in next_places.values()) - place.start
            if not found or width <= least:
                found, least = list(next_places.values()), width
    return found
