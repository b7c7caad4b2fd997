"""
What a person typed, as words to look for. Every text is a query.

Words must all be there; "words in quotes" one after the other; a word with a star at its end stands for all
that begin with it. Whatever else is typed separates words.
"""

from __future__ import annotations

import dataclasses
import re

from etl.load.tokenizer import is_unspaced, tokenize
from etl.load.transcript_index import OVERLAP

# More would say nothing more; and a phrase must fit into what two parts of a transcript share.
MAX_TERMS, MAX_WORDS = 32, OVERLAP
_TERM = re.compile(r'"([^"]*)"?|([^\s"]+)')
# Between Hebrew letters this is no quotation mark, but part of an abbreviation.
_GERSHAYIM = re.compile('(?<=[\u05d0-\u05ea])"(?=[\u05d0-\u05ea])')


@dataclasses.dataclass(frozen=True, slots=True)
class Term:
    """Words that follow each other; of the last one, the beginning is enough if `is_prefix`."""

    words: tuple[str, ...]
    is_prefix: bool = False

    def starts_at(self, words: list[str], place: int) -> bool:
        """Tell whether it stands at a place among the words of a text."""
        end = place + len(self.words)
        found = tuple(words[place:end])
        if not self.is_prefix:
            return found == self.words
        return found[:-1] == self.words[:-1] and found[-1:] != () and found[-1].startswith(self.words[-1])


def parse_query(text: str) -> list[Term]:
    """Read a query; without a word in it there are no terms."""
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
    # One character of an unspaced script is where pairs begin; a run of them is a run of pairs.
    is_single = len(whole) == len(part) and len(part[-1]) == 1 and is_unspaced(part[-1])
    return Term(tuple(part[:MAX_WORDS]), is_prefix=has_star or is_single)


def as_fts5(terms: list[Term]) -> str:
    """Write a query for FTS5. The words hold no quotes."""
    return " AND ".join(f'"{" ".join(term.words)}"{" *" if term.is_prefix else ""}' for term in terms)


def as_tsquery(terms: list[Term]) -> str:
    """Write a query as Postgres reads a tsquery. The words hold nothing that must be quoted."""

    def written(term: Term) -> str:
        *before, last = (f"'{word}'" for word in term.words)
        return " <-> ".join([*before, f"{last}:*" if term.is_prefix else last])

    return " & ".join(f"({written(term)})" for term in terms)
