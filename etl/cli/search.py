"""`gcore-etl search`: full-text search over the archived transcripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from etl.cli.console import note, show
from etl.cli.params import Date, Text
from etl.cli.settings import database_option, load_settings
from etl.json_output import to_json

if TYPE_CHECKING:
    import datetime as dt

    from etl.search import Hit

MAX_HITS = 1000


@click.command(short_help="Search the archived transcripts.")
@click.argument("text", type=Text())
@click.option("--language", type=Text(), help="Only this language, in the codes of the API: eng, ger, jpn.")
@click.option("--since", type=Date(), help="Only tasks completed on or after this day or time.")
@click.option(
    "--limit", type=click.IntRange(1, MAX_HITS), default=10, show_default=True, help="Maximum number of hits."
)
@database_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per hit, one per line.")
def search(  # noqa: PLR0913
    *,
    text: str,
    language: str | None,
    since: dt.datetime | None,
    limit: int,
    database_url: str | None,
    as_json: bool,
) -> None:
    """
    Search the archived transcripts and show the best hits first.

    A transcript must contain all words of TEXT. "Words in quotes" form a phrase; colo* matches every word
    that starts with colo. Case and accents are ignored.
    """
    from etl import search as searching
    from etl.database import reading

    with reading(load_settings(database_url=database_url).database_url) as connection:
        hits = searching.search(connection, text, language=language, since=since, limit=limit)
        is_complete = searching.is_complete(connection)
    for hit in hits:
        show(to_json(hit) if as_json else shown(hit))
    if not hits:
        note("nothing found")
    if not is_complete:
        note("not all transcripts are indexed yet; the next gcore-etl sync indexes the rest")


def shown(hit: Hit) -> str:
    """Return a hit as two lines of text."""
    moment = "" if hit.start_seconds is None else f"{_clock(hit.start_seconds)}  "
    lines = (f"{hit.rank}. {moment}{hit.url or hit.task_id}", f"   {hit.snippet}")
    # Control characters in a transcript must not reach the terminal.
    return "\n".join("".join(each if each.isprintable() else "\ufffd" for each in line) for line in lines)


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
