"""
The full-text index of transcripts, written in the transaction that stores a result.

A transcript is split into overlapping parts of a limited number of tokens. The limit exists because Postgres
stores at most 255 positions of a token in one tsvector; the overlap keeps every phrase inside one part. Terms
that must all occur must therefore occur in one part, which is about a quarter of an hour of speech.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa

from etl.load.bulk import insert_rows
from etl.load.dialect import is_any_of
from etl.load.tokenizer import VERSION, tokenize
from etl.models import PARTS, RESULTS, STATE, SUBTITLES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

# On SQLite this is an FTS5 table, whose key is `rowid`.
_TOKENS = sa.Table(
    "transcript_words", sa.MetaData(), sa.Column("part_id", sa.BigInteger), sa.Column("words", sa.Text)
)

MAX_TOKENS, OVERLAP = 2_000, 40
# Longer texts are tokenized piece by piece: the tokens of a string take ten times its memory.
MAX_PIECE_LENGTH = 65_536
_SPACE = re.compile(r"\s")
_RESULTS_PER_COMMIT = 200

# The subtitles of a transcript, as position and text; plain text without subtitles has the position None.
Transcript = Sequence[tuple[int | None, str]]


def index_transcripts(
    connection: sa.Connection, transcripts: Iterable[tuple[str, Transcript]], replaced: Collection[str] = ()
) -> None:
    """Index the transcripts of these tasks; `replaced` are the ids of tasks that are in the index already."""
    if replaced:
        _delete(connection, replaced)
    is_postgres = connection.dialect.name == "postgresql"
    last: int = connection.scalar(sa.select(sa.func.max(PARTS.c.part_id))) or 0
    numbers = itertools.count(last + 1)
    parts, tokens = [], []
    for task_id, transcript in transcripts:
        for first_position, part in iter_parts(transcript):
            number = next(numbers)
            parts.append((number, task_id, first_position))
            tokens.append((number, as_tsvector(part) if is_postgres else " ".join(part)))
    insert_rows(connection, PARTS, ("part_id", "task_id", "first_position"), parts)
    insert_rows(connection, _TOKENS, ("part_id" if is_postgres else "rowid", "words"), tokens)


def reindex_transcripts(connection: sa.Connection) -> Iterator[int]:
    """
    Index every transcript again if the tokenizer has changed, committing a few transcripts at a time.

    Yields the number of results done so far; nothing if the index is up to date.
    """
    with connection.begin():
        version = connection.scalar(sa.select(STATE.c.words_version))
    last, done = "", 0
    while version != VERSION:
        with connection.begin():
            task_ids = _next_results(connection, last)
            index_transcripts(connection, _read_transcripts(connection, task_ids), task_ids)
            if not task_ids:
                connection.execute(sa.update(STATE).values(words_version=VERSION))
                return
        last, done = task_ids[-1], done + len(task_ids)
        yield done


def as_tsvector(tokens: Sequence[str]) -> str:
    """Return tokens and their positions as the text of a tsvector. Tokens contain nothing to escape."""
    positions: dict[str, list[str]] = {}
    for position, token in enumerate(tokens, start=1):
        positions.setdefault(token, []).append(str(position))
    return " ".join(f"'{token}':{','.join(found)}" for token, found in positions.items())


def iter_parts(transcript: Transcript) -> Iterator[tuple[int | None, list[str]]]:
    """Yield the position of each part's first subtitle, and its tokens; only one part is in memory."""
    tokens: list[str] = []
    positions: list[int | None] = []
    is_first = True
    for position, text in transcript:
        for piece in _iter_pieces(text):
            more = tokenize(piece)
            tokens += more
            positions += [position] * len(more)
            while len(tokens) >= MAX_TOKENS:
                yield positions[0], tokens[:MAX_TOKENS]
                is_first = False
                del tokens[: MAX_TOKENS - OVERLAP], positions[: MAX_TOKENS - OVERLAP]
    if len(tokens) > (0 if is_first else OVERLAP):
        yield positions[0], tokens


def _iter_pieces(text: str) -> Iterator[str]:
    """Split a long text at white space, which ends a token in every script."""
    start = 0
    while (space := _SPACE.search(text, start + MAX_PIECE_LENGTH)) is not None:
        yield text[start : space.start()]
        start = space.start()
    yield text[start:]


def _delete(connection: sa.Connection, task_ids: Collection[str]) -> None:
    numbers = sa.select(PARTS.c.part_id).where(is_any_of(connection, PARTS.c.task_id, task_ids))
    key = _TOKENS.c.part_id if connection.dialect.name == "postgresql" else sa.literal_column("rowid")
    connection.execute(sa.delete(_TOKENS).where(key.in_(numbers)))
    connection.execute(sa.delete(PARTS).where(is_any_of(connection, PARTS.c.task_id, task_ids)))


def _next_results(connection: sa.Connection, last: str) -> list[str]:
    """Return the next results by id, with or without a transcript: filtered by state, all would be sorted."""
    query = sa.select(RESULTS.c.task_id).where(RESULTS.c.task_id > last).order_by(RESULTS.c.task_id)
    return list(connection.scalars(query.limit(_RESULTS_PER_COMMIT)))


def _read_transcripts(connection: sa.Connection, task_ids: Collection[str]) -> list[tuple[str, Transcript]]:
    query = sa.select(SUBTITLES.c.task_id, SUBTITLES.c.position, SUBTITLES.c.text)
    query = query.where(is_any_of(connection, SUBTITLES.c.task_id, task_ids))
    transcripts: dict[str, list[tuple[int | None, str]]] = {}
    for task_id, position, text in connection.execute(query.order_by(*SUBTITLES.primary_key)):
        transcripts.setdefault(task_id, []).append((position, text or ""))
    texts = sa.select(RESULTS.c.task_id, RESULTS.c.text).where(
        is_any_of(connection, RESULTS.c.task_id, task_ids), RESULTS.c.text.is_not(None)
    )
    for task_id, text in connection.execute(texts):
        transcripts.setdefault(task_id, [(None, text)])
    return list(transcripts.items())
