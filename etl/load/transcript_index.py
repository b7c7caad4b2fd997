"""
The words of transcripts, for the search: written in the transaction that stores a result, or its successor.

A transcript is cut into parts of so few words that Postgres can still say where each stands (it notes 255
places of each word), and that overlap a little, so that a phrase across two of them is in one. Words that
must all be there must be so in one part: about a quarter of an hour.
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

# What a search reads: `rowid` is what SQLite calls the number of a row in such a table.
WORDS = sa.Table(
    "transcript_words", sa.MetaData(), sa.Column("part_id", sa.BigInteger), sa.Column("words", sa.Text)
)

MAX_WORDS, OVERLAP = 2_000, 40
# So many characters are cut at once: the words of a long text take ten times its size.
PIECE = 65_536
_SPACE = re.compile(r"\s")
_TRANSCRIPTS_AT_ONCE = 200

# The lines of a transcript with their positions; one text without lines has the position None.
Lines = Sequence[tuple[int | None, str]]


def index_transcripts(
    connection: sa.Connection, transcripts: Iterable[tuple[str, Lines]], replaced: Collection[str] = ()
) -> None:
    """Make these transcripts searchable; those of the tasks in `replaced` were so before, in older words."""
    if replaced:
        _forget(connection, replaced)
    is_postgres = connection.dialect.name == "postgresql"
    last: int = connection.scalar(sa.select(sa.func.max(PARTS.c.part_id))) or 0
    numbers = itertools.count(last + 1)
    parts, words = [], []
    for task_id, lines in transcripts:
        for first_position, part in _iter_parts(lines):
            number = next(numbers)
            parts.append((number, task_id, first_position))
            words.append((number, as_tsvector(part) if is_postgres else " ".join(part)))
    insert_rows(connection, PARTS, ("part_id", "task_id", "first_position"), parts)
    insert_rows(connection, WORDS, ("part_id" if is_postgres else "rowid", "words"), words)


def iter_indexed(connection: sa.Connection) -> Iterator[int]:
    """
    Make every transcript searchable by the present way of cutting words, a few at a time, each committed.

    Gives how many are done; nothing where they all are.
    """
    with connection.begin():
        version = connection.scalar(sa.select(STATE.c.words_version))
    last, done = "", 0
    while version != VERSION:
        with connection.begin():
            task_ids = _next_transcripts(connection, last)
            index_transcripts(connection, _read_transcripts(connection, task_ids), task_ids)
            if not task_ids:
                connection.execute(sa.update(STATE).values(words_version=VERSION))
                return
        last, done = task_ids[-1], done + len(task_ids)
        yield done


def as_tsvector(words: Sequence[str]) -> str:
    """Write words and their places as Postgres reads a tsvector. Words hold nothing that must be quoted."""
    places: dict[str, list[str]] = {}
    for place, word in enumerate(words, start=1):
        places.setdefault(word, []).append(str(place))
    return " ".join(f"'{word}':{','.join(found)}" for word, found in places.items())


def _iter_parts(lines: Lines) -> Iterator[tuple[int | None, list[str]]]:
    """Give parts with the position of the line that each begins in; no more than one is in memory at once."""
    words: list[str] = []
    positions: list[int | None] = []
    is_first = True
    for position, text in lines:
        for piece in _iter_pieces(text):
            cut = tokenize(piece)
            words += cut
            positions += [position] * len(cut)
            while len(words) >= MAX_WORDS:
                yield positions[0], words[:MAX_WORDS]
                is_first = False
                del words[: MAX_WORDS - OVERLAP], positions[: MAX_WORDS - OVERLAP]
    if len(words) > (0 if is_first else OVERLAP):
        yield positions[0], words


def _iter_pieces(text: str) -> Iterator[str]:
    """Cut a long text where a word ends in any script."""
    start = 0
    while (space := _SPACE.search(text, start + PIECE)) is not None:
        yield text[start : space.start()]
        start = space.start()
    yield text[start:]


def _forget(connection: sa.Connection, task_ids: Collection[str]) -> None:
    numbers = sa.select(PARTS.c.part_id).where(is_any_of(connection, PARTS.c.task_id, task_ids))
    key = WORDS.c.part_id if connection.dialect.name == "postgresql" else sa.literal_column("rowid")
    connection.execute(sa.delete(WORDS).where(key.in_(numbers)))
    connection.execute(sa.delete(PARTS).where(is_any_of(connection, PARTS.c.task_id, task_ids)))


def _next_transcripts(connection: sa.Connection, last: str) -> list[str]:
    query = (
        sa.select(RESULTS.c.task_id)
        .where(RESULTS.c.task_id > last, RESULTS.c.state == "archived")
        .order_by(RESULTS.c.task_id)
        .limit(_TRANSCRIPTS_AT_ONCE)
    )
    return list(connection.scalars(query))


def _read_transcripts(connection: sa.Connection, task_ids: Collection[str]) -> list[tuple[str, Lines]]:
    query = sa.select(SUBTITLES.c.task_id, SUBTITLES.c.position, SUBTITLES.c.text)
    query = query.where(is_any_of(connection, SUBTITLES.c.task_id, task_ids))
    lines: dict[str, list[tuple[int | None, str]]] = {}
    for task_id, position, text in connection.execute(query.order_by(*SUBTITLES.primary_key)):
        lines.setdefault(task_id, []).append((position, text or ""))
    texts = sa.select(RESULTS.c.task_id, RESULTS.c.text).where(
        is_any_of(connection, RESULTS.c.task_id, task_ids), RESULTS.c.text.is_not(None)
    )
    for task_id, text in connection.execute(texts):
        lines.setdefault(task_id, [(None, text)])
    return list(lines.items())
