"""Where in a transcript the terms stand, and what is said around. Pure."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from etl.load.transcripts import MOST_WORDS
from etl.load.words import spans_of, words_of

if TYPE_CHECKING:
    from etl.search.query import Term

# Of the text before and after what was found, so many characters are shown.
AROUND = 60
# Terms that stand within so many words of each other are said at one moment.
NEAR = 30
# Lines that a phrase may reach over.
_MOST_LINES = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One line of a transcript; its times are seconds."""

    text: str
    start_seconds: float | None
    end_seconds: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class Moment:
    """The line where something was found, and the text around with brackets about what was found."""

    line: Line
    snippet: str


def find_moment(lines: list[Line], terms: list[Term]) -> Moment:
    """Find the first place in a part where as many of the terms as anywhere in it stand together."""
    words: list[str] = []
    owners: list[int] = []
    for number, line in enumerate(lines):
        if len(words) >= MOST_WORDS:
            break
        cut = words_of(line.text)
        words += cut
        owners += [number] * len(cut)
    places = [(place, term) for place in range(len(words)) for term in terms if term.starts_at(words, place)]
    if not places:
        return Moment(Line("", None, None), "")
    first = max(range(len(places)), key=lambda number: (_count_near(places, number), -number))
    owner = owners[places[first][0]]
    return Moment(
        lines[owner], mark(" ".join(line.text for line in lines[owner : owner + _MOST_LINES]), terms)
    )


def _count_near(places: list[tuple[int, Term]], number: int) -> int:
    """Count the terms that are said soon after the one at this place, itself included."""
    start = places[number][0]
    near: set[Term] = set()
    while number < len(places) and places[number][0] - start < NEAR:
        near.add(places[number][1])
        number += 1
    return len(near)


def mark(text: str, terms: list[Term]) -> str:
    """Put brackets about every term, and show the text around the first one, on one line."""
    cut = spans_of(text)
    words = [word for word, _, _ in cut]
    marks: list[list[int]] = []
    for place, (_, start, _) in enumerate(cut):
        ends = [cut[place + len(t.words) - 1][2] for t in terms if t.starts_at(words, place)]
        if not ends:
            continue
        if marks and start <= marks[-1][1]:
            marks[-1][1] = max(marks[-1][1], *ends)
        else:
            marks.append([start, max(ends)])
    first, last = marks[0] if marks else (0, 0)
    begin, end = max(0, first - AROUND), min(len(text), last + AROUND)
    shown, place = ["…" if begin else ""], begin
    for start, stop in marks:
        if start >= end:
            break
        shown += [text[place:start], "[", text[start:stop], "]"]
        place = stop
    shown += [text[place : max(place, end)], "…" if max(place, end) < len(text) else ""]
    return " ".join("".join(shown).split())
