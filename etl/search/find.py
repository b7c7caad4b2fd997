"""
Find the parts of transcripts that contain all terms, and in the best of them the subtitle.

For frequent words, only the newest parts are ranked: on Postgres by the server, on SQLite here, because
FTS5 counts every word in every transcript before it ranks one. The subtitles of the few parts that are
shown are read and tokenized again.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from etl.load.tokenizer import VERSION
from etl.load.transcript_index import MAX_TOKENS, OVERLAP
from etl.models import PARTS, RESULTS, STATE, SUBTITLES, TASKS
from etl.search.query import as_fts5, as_tsquery, parse_query
from etl.search.snippet import Passage, Subtitle, find_passage

if TYPE_CHECKING:
    import datetime as dt

    from etl.search.query import Term


# The number of newest parts that are ranked.
MAX_RANKED = 500
# In a part of this many characters, a word weighs half as much as in a short one.
_LONG_PART = 2000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """
    A transcript with a match.

    `start_seconds` and `end_seconds` are those of the subtitle where the match starts; None if the
    transcript has no subtitles or no times. `snippet` is the surrounding text, with the match in `[` and
    `]`; `rank` starts at 1.
    """

    rank: int
    task_id: str
    start_seconds: float | None
    end_seconds: float | None
    snippet: str
    url: str | None
    languages: list[Any] | None
    completed_at: dt.datetime | None


def search(
    connection: sa.Connection,
    text: str,
    *,
    language: str | None = None,
    since: dt.datetime | None = None,
    limit: int = 10,
) -> list[Hit]:
    """
    Return the transcripts that match `text`, the best first. Reads in the caller's transaction.

    `language` is a code of the API (ISO 639-2/B), detected in the result or requested for the task. `since`
    is the earliest completion time of the task. Text without any word has no hits.
    """
    terms = parse_query(text)
    if not terms:
        return []
    matching = _matching_on_postgres if connection.dialect.name == "postgresql" else _matching_on_sqlite
    parts = matching(terms)
    for condition in _conditions(connection, language, since):
        parts = parts.where(condition)
    newest = connection.execute(parts.limit(MAX_RANKED)).mappings().all()
    is_scored = connection.dialect.name == "postgresql"
    best = sorted(
        newest, key=lambda row: row["score"] if is_scored else _score(row["score"], terms), reverse=True
    )
    found: dict[str, list[sa.RowMapping]] = {}
    for row in best:
        found.setdefault(row["task_id"], []).append(row)
    hits: list[Hit] = []
    for rows in list(found.values())[:limit]:
        row, passage = rows[0], _shortest_passage(connection, rows, terms)
        hits.append(
            Hit(
                rank=len(hits) + 1,
                task_id=row["task_id"],
                start_seconds=passage.subtitle.start_seconds,
                end_seconds=passage.subtitle.end_seconds,
                snippet=passage.snippet,
                url=row["url"],
                languages=row["languages"],
                completed_at=row["completed_at"],
            )
        )
    return hits


def is_complete(connection: sa.Connection) -> bool:
    """Return whether all archived transcripts are indexed; if not, the next sync indexes the rest."""
    version = connection.scalar(sa.select(STATE.c.words_version))
    has_results = connection.scalar(sa.select(sa.exists().select_from(RESULTS)))
    return version == VERSION or not has_results


def _columns(score: sa.ColumnElement[Any]) -> sa.Select[Any]:
    columns = (PARTS, TASKS.c.url, TASKS.c.completed_at, RESULTS.c.languages, score.label("score"))
    return (
        sa.select(*columns)
        .join_from(PARTS, RESULTS, RESULTS.c.task_id == PARTS.c.task_id)
        .join(TASKS, TASKS.c.task_id == PARTS.c.task_id)
    )


def _score(words: str, terms: list[Term]) -> float:
    """Return a score: repeated matches count less, and all count less in a long part."""
    parted = f" {words} "
    score = 0.0
    for term in terms:
        times = parted.count(f" {' '.join(term.words)}{'' if term.is_prefix else ' '}")
        score += times / (times + 1 + len(words) / _LONG_PART)
    return score


def _matching_on_sqlite(terms: list[Term]) -> sa.Select[Any]:
    words = sa.table("transcript_words", sa.column("rowid"), sa.column("words", sa.Text))
    asked = sa.literal_column("transcript_words").op("MATCH")(as_fts5(terms))
    parts = _columns(words.c.words).join(words, words.c.rowid == PARTS.c.part_id).where(asked)
    # FTS5 reads its index in the order of rowid, so with the limit it stops early.
    return parts.order_by(words.c.rowid.desc())


def _matching_on_postgres(terms: list[Term]) -> sa.Select[Any]:
    words = sa.table("transcript_words", sa.column("part_id"), sa.column("words"))
    asked = sa.cast(as_tsquery(terms), sa.Text).op("::")(sa.text("tsquery"))
    parts = _columns(sa.func.ts_rank_cd(words.c.words, asked))
    parts = parts.join(words, words.c.part_id == PARTS.c.part_id)
    return parts.where(words.c.words.op("@@")(asked)).order_by(PARTS.c.part_id.desc())


def _conditions(
    connection: sa.Connection, language: str | None, since: dt.datetime | None
) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if since is not None:
        finished = sa.func.coalesce(
            TASKS.c.completed_at, TASKS.c.first_seen_at, type_=TASKS.c.completed_at.type
        )
        found.append(finished >= since)
    if language is not None:
        code = language.lower()
        asked_for = (TASKS.c.audio_language, TASKS.c.subtitles_language)
        found.append(sa.or_(_holds(connection, code), *(column == code for column in asked_for)))
    return found


def _holds(connection: sa.Connection, code: str) -> sa.ColumnElement[bool]:
    """Return the condition that the languages of a result include a code."""
    if connection.dialect.name == "postgresql":
        return RESULTS.c.languages.op("?")(sa.cast(code, sa.Text))
    listed = sa.func.json_each(RESULTS.c.languages).table_valued("value")
    return sa.exists().select_from(listed).where(listed.c.value == code)


def _shortest_passage(connection: sa.Connection, parts: list[sa.RowMapping], terms: list[Term]) -> Passage:
    """Return the shortest passage with all terms, from parts of a transcript that each contain all terms."""
    # A long subtitle may start several parts; it is read once, as a whole.
    starts = {part["first_position"]: part for part in parts}
    in_order = [starts[position] for position in sorted(starts, key=lambda position: position or 0)]
    passages = (find_passage(_read_subtitles(connection, part), terms) for part in in_order)
    return min(passages, key=lambda passage: (not passage.snippet, passage.width))


def _read_subtitles(connection: sa.Connection, part: sa.RowMapping) -> list[Subtitle]:
    """Return the subtitles of a part of a transcript, and possibly a few more."""
    if part["first_position"] is None:
        text = connection.scalar(sa.select(RESULTS.c.text).where(RESULTS.c.task_id == part["task_id"]))
        return [Subtitle(text or "", None, None)]
    columns = (SUBTITLES.c.text, SUBTITLES.c.start_seconds, SUBTITLES.c.end_seconds)
    query = (
        sa.select(*columns)
        .where(SUBTITLES.c.task_id == part["task_id"], SUBTITLES.c.position >= part["first_position"])
        .order_by(SUBTITLES.c.position)
        .limit(MAX_TOKENS + OVERLAP)
    )
    return [Subtitle(text or "", start, end) for text, start, end in connection.execute(query)]
