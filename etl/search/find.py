"""
Ask the database for parts of transcripts that hold all terms; then look into those for the moment.

A word that is everywhere is not looked for everywhere: the newest parts are ranked, by Postgres itself, on
SQLite here, because FTS5 counts every word in every transcript before it ranks one. So few are shown that
their lines are simply read and cut into words once more.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from etl.load.tokenizer import VERSION
from etl.load.transcript_index import MAX_TOKENS, OVERLAP
from etl.models import PARTS, RESULTS, STATE, SUBTITLES, TASKS
from etl.search.query import as_fts5, as_tsquery, parse_query
from etl.search.snippet import Line, Moment, find_moment

if TYPE_CHECKING:
    import datetime as dt

    from etl.search.query import Term


# So many of the newest parts are ranked.
MAX_RANKED = 500
# Parts of so many characters weigh a word at half of what a short one does.
_LONG_PART = 2000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """
    One transcript in which something was found.

    `start_seconds` and `end_seconds` are those of the line where it begins, null where the transcript has no
    lines or no times; `snippet` is the text around, with `[` and `]` about what was found; `rank` is the
    place, from 1.
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
    Give the transcripts that hold all that `text` asks for, the best first; inside the caller's transaction.

    `language` is a code as the API writes it (ISO 639-2/B): of the result, or asked for. `since` is when the
    task was completed, at the earliest. Nothing is found by a text without a word.
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
        row, moment = rows[0], _narrowest(connection, rows, terms)
        hits.append(
            Hit(
                rank=len(hits) + 1,
                task_id=row["task_id"],
                start_seconds=moment.line.start_seconds,
                end_seconds=moment.line.end_seconds,
                snippet=moment.snippet,
                url=row["url"],
                languages=row["languages"],
                completed_at=row["completed_at"],
            )
        )
    return hits


def is_complete(connection: sa.Connection) -> bool:
    """Tell whether all that is archived can be searched; if not, the next sync sees to it."""
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
    """Weigh how often the terms stand in a part, each further time a little less, and less in a long part."""
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
    # By this very number, in the order of which the index is read: so it is read no further than needed.
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
    """Tell whether the list of languages of a result holds a code."""
    if connection.dialect.name == "postgresql":
        return RESULTS.c.languages.op("?")(sa.cast(code, sa.Text))
    listed = sa.func.json_each(RESULTS.c.languages).table_valued("value")
    return sa.exists().select_from(listed).where(listed.c.value == code)


def _narrowest(connection: sa.Connection, parts: list[sa.RowMapping], terms: list[Term]) -> Moment:
    """Return where the terms are nearest to each other in a transcript, all parts of which hold them all."""
    # A long line may be the first of several parts: it is read whole, once.
    starts = {part["first_position"]: part for part in parts}
    in_order = [starts[position] for position in sorted(starts, key=lambda position: position or 0)]
    moments = (find_moment(_read_lines(connection, part), terms) for part in in_order)
    return min(moments, key=lambda moment: (not moment.snippet, moment.width))


def _read_lines(connection: sa.Connection, part: sa.RowMapping) -> list[Line]:
    """Read a part of a transcript, or rather more."""
    if part["first_position"] is None:
        text = connection.scalar(sa.select(RESULTS.c.text).where(RESULTS.c.task_id == part["task_id"]))
        return [Line(text or "", None, None)]
    columns = (SUBTITLES.c.text, SUBTITLES.c.start_seconds, SUBTITLES.c.end_seconds)
    query = (
        sa.select(*columns)
        .where(SUBTITLES.c.task_id == part["task_id"], SUBTITLES.c.position >= part["first_position"])
        .order_by(SUBTITLES.c.position)
        .limit(MAX_TOKENS + OVERLAP)
    )
    return [Line(text or "", start, end) for text, start, end in connection.execute(query)]
