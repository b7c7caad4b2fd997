"""`gcore-etl search`: what was said, and when in which video."""

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


@click.command()
@click.argument("text", type=Text())
@click.option("--language", type=Text(), help="Only this language, as the API writes it: eng, ger, jpn.")
@click.option("--since", type=Date(), help="Only tasks completed since this day or instant.")
@click.option("--limit", type=click.IntRange(1, MAX_HITS), default=10, show_default=True, help="Most hits.")
@database_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a hit, each on a line.")
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
    Find what was said in the archived transcripts, the best hits first.

    TEXT are words that must all be there; "words in quotes" follow each other; colo* is all that begins so.
    Case and accents do not matter.
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
        note("not all transcripts can be searched yet: the next gcore-etl sync sees to it")


def shown(hit: Hit) -> str:
    """Write a hit for a person, in two lines."""
    moment = "" if hit.start_seconds is None else f"{_clock(hit.start_seconds)}  "
    lines = (f"{hit.rank}. {moment}{hit.url or hit.task_id}", f"   {hit.snippet}")
    # What others wrote is shown, not obeyed.
    return "\n".join("".join(each if each.isprintable() else "\ufffd" for each in line) for line in lines)


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
