"""`gcore-etl search`: full-text search over the archived transcripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from etl.cli.console import print_data, print_note
from etl.cli.options import database_option, json_option, limit_option
from etl.cli.params import DATE, TEXT
from etl.json_output import to_json
from etl.text import printable

if TYPE_CHECKING:
    from etl.search import Hit

MAX_HITS = 1000


@click.command()
@click.argument("text", type=TEXT)
@click.option(
    "--language",
    type=TEXT,
    help="Only this language, detected or requested, as an API code: eng, ger, jpn.",
)
@click.option("--since", type=DATE, help="Only tasks completed on or after this date or timestamp.")
@limit_option("hits", 10, MAX_HITS)
@database_option
@json_option("one JSON object per hit, one per line")
def search(*, text: str, database_url: str, as_json: bool, **limits: Any) -> None:  # noqa: ANN401
    """
    Search the archived transcripts and show the best hits first.

    All words of TEXT must occur within one part of a transcript, about 2,000 words. "Words in quotes" form a
    phrase; colo* matches every word that starts with colo. Case and accents are ignored.
    """
    from etl import search as searching
    from etl.database import reading

    with reading(database_url) as connection:
        hits = searching.search(connection, text, **limits)
        is_complete = searching.is_complete(connection)
    for hit in hits:
        print_data(to_json(hit) if as_json else shown(hit))
    if not hits:
        print_note("nothing found")
    if not is_complete:
        print_note("not all transcripts are indexed yet; the next gcore-etl sync indexes the rest")


def shown(hit: Hit) -> str:
    """Return a hit as two lines of text."""
    moment = "" if hit.start_seconds is None else f"{_clock(hit.start_seconds)}  "
    lines = (f"{hit.rank}. {moment}{hit.url or hit.task_id}", f"   {hit.snippet}")
    # Control characters in a transcript must not reach the terminal.
    return "\n".join(printable(line, instead="\ufffd") for line in lines)


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
