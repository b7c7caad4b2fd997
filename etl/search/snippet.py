"""The passage of a transcript that matches the terms, with the text around it. Pure functions."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from etl.load.tokenizer import Token, token_spans, tokenize_with_positions
from etl.load.transcript_index import MAX_TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from etl.search.query import Term

# The number of characters shown before and after a match.
CONTEXT = 60
# The number of subtitles that a phrase may span, or that are shown after it.
_MAX_SUBTITLES = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Subtitle:
    """A subtitle of a transcript, with its times in seconds."""

    text: str
    start_seconds: float | None
    end_seconds: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class Passage:
    """
    The subtitle where a match starts, and a snippet with the match in brackets.

    `width` is the number of words over which the terms are spread.
    """

    subtitle: Subtitle
    snippet: str
    width: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Occurrence:
    """An occurrence of a term: its first and last word, and its first and last subtitle or character."""

    term: Term
    start: int
    end: int
    first: int
    last: int


def find_passage(subtitles: list[Subtitle], terms: list[Term]) -> Passage:
    """
    Return the shortest passage of a part that contains all terms that occur in the part.

    If several are equally short, it is the first.
    """
    occurrences = _closest(_find_occurrences(_tokenize_part(subtitles), terms))
    if not occurrences:
        return Passage(Subtitle("", None, None), "", 0)
    first, last = min(each.first for each in occurrences), max(each.last for each in occurrences)
    width = max(each.end for each in occurrences) - min(each.start for each in occurrences)
    text = " ".join(subtitle.text for subtitle in subtitles[first : last + _MAX_SUBTITLES])
    return Passage(subtitles[first], mark(text, terms), width)


def mark(text: str, terms: list[Term]) -> str:
    """
    Return the text around the shortest passage with all terms, on one line, with each term in brackets.

    If the terms are far apart, the text between them is omitted.
    """
    occurrences = _find_occurrences(token_spans(text), terms)
    marks = _merged((each.first, each.last) for each in occurrences)
    windows = [(each.first - CONTEXT, each.last + CONTEXT) for each in _closest(occurrences)]
    windows += [span for span in marks if any(span[0] < end and start < span[1] for start, end in windows)]
    windows = _merged(sorted(windows)) or [(0, CONTEXT)]
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
    """Merge spans that overlap or touch; they are sorted by their start."""
    merged: list[tuple[int, int]] = []
    for start, end in spans:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _tokenize_part(subtitles: list[Subtitle]) -> list[Token]:
    """Return the tokens of a part, numbered consecutively; their positions are the index of the subtitle."""
    tokens: list[Token] = []
    max_tokens = MAX_TOKENS
    for index, subtitle in enumerate(subtitles):
        if len(tokens) >= max_tokens:
            break
        before = tokens[-1].number + 1 if tokens else 0
        found = tokenize_with_positions(subtitle.text)
        tokens += [Token(word, index, index, before + number) for word, number in found]
        # The part starts somewhere inside its first subtitle.
        max_tokens += 0 if index else len(found)
    return tokens


def _find_occurrences(tokens: list[Token], terms: list[Term]) -> list[_Occurrence]:
    """Return the occurrences of all terms, in the order of the text."""
    words = [token.text for token in tokens]
    # Only tokens that equal the first word of a term have to be compared with the whole term.
    prefixes = [term for term in terms if term.is_prefix and len(term.words) == 1]
    by_first_word: dict[str, list[Term]] = {}
    for term in terms:
        if term not in prefixes:
            by_first_word.setdefault(term.words[0], []).append(term)
    found = []
    for index, word in enumerate(words):
        for term in (*by_first_word.get(word, ()), *prefixes):
            if term.starts_at(words, index):
                first, last = tokens[index], tokens[index + len(term.words) - 1]
                found.append(_Occurrence(term, first.number, last.number + 1, first.start, last.end))
    return found


def _closest(occurrences: list[_Occurrence]) -> list[_Occurrence]:
    """Return one occurrence of each term, so that they are as close to each other as possible."""
    next_ones: dict[Term, _Occurrence] = {}
    found: list[_Occurrence] = []
    number, min_width = len({each.term for each in occurrences}), 0
    # Backwards, so that the next occurrence of every other term is known.
    for occurrence in reversed(occurrences):
        next_ones[occurrence.term] = occurrence
        if len(next_ones) == number:
            width = max(each.end for each in next_ones.values()) - occurrence.start
            if not found or width <= min_width:
                found, min_width = list(next_ones.values()), width
    return found
