"""
Parsing of search queries; every text is a valid query.

All words must match; "words in quotes" are a phrase; a word with a final star is a prefix. All other
characters separate words.
"""

from __future__ import annotations

import dataclasses
import re

from etl.load.tokenizer import is_unspaced, tokenize
from etl.load.transcript_index import OVERLAP

# More terms hardly change the result; and a phrase must fit into the overlap of two parts of a transcript.
MAX_TERMS, MAX_WORDS = 32, OVERLAP
_TERM = re.compile(r'"([^"]*)"?|([^\s"]+)')
# Between Hebrew letters this is not a quotation mark but part of an abbreviation.
_GERSHAYIM = re.compile('(?<=[\u05d0-\u05ea])"(?=[\u05d0-\u05ea])')


@dataclasses.dataclass(frozen=True, slots=True)
class Term:
    """One word or a phrase; if `is_prefix`, its last word matches every word that starts with it."""

    words: tuple[str, ...]
    is_prefix: bool = False

    def starts_at(self, words: list[str], index: int) -> bool:
        """Return whether the term matches these words from an index on."""
        end = index + len(self.words)
        found = tuple(words[index:end])
        if not self.is_prefix:
            return found == self.words
        return found[:-1] == self.words[:-1] and found[-1:] != () and found[-1].startswith(self.words[-1])


def parse_query(text: str) -> list[Term]:
    """Return the terms of a query; none if it contains no word."""
    terms: dict[Term, None] = {}
    for match in _TERM.finditer(_GERSHAYIM.sub("\u05f4", text)):
        if len(terms) == MAX_TERMS:
            break
        words = (match[1] if match[1] is not None else match[2]).rstrip()
        term = _read_term(words.rstrip("*"), has_star=words.endswith("*"))
        if term is not None:
            terms[term] = None
    return list(terms)


def _read_term(text: str, *, has_star: bool) -> Term | None:
    whole, part = tokenize(text), tokenize(text, is_partial=True)
    if not whole:
        return None
    # Scripts without spaces are indexed as pairs of characters: a single character is the prefix of a pair.
    is_single = len(whole) == len(part) and len(part[-1]) == 1 and is_unspaced(part[-1])
    return Term(tuple(part[:MAX_WORDS]), is_prefix=has_star or is_single)


def as_fts5(terms: list[Term]) -> str:
    """Return the query for FTS5. Words contain no quotes."""
    return " AND ".join(f'"{" ".join(term.words)}"{" *" if term.is_prefix else ""}' for term in terms)


def as_tsquery(terms: list[Term]) -> str:
    """Return the text of a tsquery for Postgres. Words contain nothing that needs escaping."""

    def written(term: Term) -> str:
        *before, last = (f"'{word}'" for word in term.words)
        return " <-> ".join([*before, f"{last}:*" if term.is_prefix else last])

    return " & ".join(f"({written(term)})" for term in terms)
