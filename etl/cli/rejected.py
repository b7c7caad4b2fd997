"""`gcore-etl rejected …`: the records that could not be loaded."""

from __future__ import annotations

import click

from etl.cli.console import print_table, say, say_json, show
from etl.cli.settings import database_option, load_settings
from etl.json_output import to_json

_SHOWN_CHARACTERS = 60


@click.group()
def rejected() -> None:
    """List the records that were rejected, and try to load them again."""


@rejected.command("list")
@database_option
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=20, show_default=True, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a record, with its whole text.")
def list_(*, database_url: str | None, limit: int, as_json: bool) -> None:
    """Show the records that were rejected, the newest first, and why."""
    from etl.database import reading
    from etl.sync.retry_rejected import iter_rejected

    with reading(load_settings(database_url=database_url).database_url) as connection:
        if as_json:
            for row in iter_rejected(connection, limit=limit):
                show(to_json(row))
            return
        rows = list(iter_rejected(connection, limit=limit))
    print_table(
        ["id", "run", "received_at", "reason", "record"],
        [
            [
                str(row["rejected_id"]),
                str(row["run_id"]),
                row["received_at"],
                row["reason"],
                _shorten(row["raw"]),
            ]
            for row in rows
        ],
    )


@rejected.command()
@database_option
@click.option("--wait", is_flag=True, help="Wait for a running sync to end.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def retry(*, database_url: str | None, wait: bool, as_json: bool) -> None:
    """
    Try to load the records again, which a newer release may be able to read.

    What is loaded, and what is stored by now, is taken off the list.
    """
    from etl.sync.api import ensure_writable, writing
    from etl.sync.retry_rejected import retry_rejected

    url = load_settings(database_url=database_url).database_url
    with writing(url, wait=wait) as connection, connection.begin():
        ensure_writable(connection, migrate=False)
        outcome = retry_rejected(connection)
    if as_json:
        say_json(outcome)
    else:
        say(
            f"{outcome.loaded:,} loaded, {outcome.known:,} stored already, "
            f"{outcome.still_rejected:,} still cannot be read"
        )


def _shorten(raw: str) -> str:
    return raw if len(raw) <= _SHOWN_CHARACTERS else f"{raw[: _SHOWN_CHARACTERS - 1]}…"
