"""`gcore-etl rejected …`: records that could not be loaded."""

from __future__ import annotations

import click

from etl.cli.console import print_data, print_report, print_table
from etl.cli.options import database_option, json_option, limit_option, wait_option
from etl.json_output import to_json

_SHOWN_CHARACTERS = 60


@click.group()
def rejected() -> None:
    """List rejected records, or retry loading them."""


@rejected.command("list", short_help="List rejected records, newest first.")
@database_option
@limit_option("records", 20)
@json_option("one JSON object per record, with its full text, one per line")
def list_(*, database_url: str, limit: int, as_json: bool) -> None:
    """List rejected records and why they were rejected, newest first."""
    from etl.database import reading
    from etl.sync.retry_rejected import iter_rejected

    with reading(database_url) as connection:
        if as_json:
            for row in iter_rejected(connection, limit=limit):
                print_data(to_json(row))
            return
        rows = list(iter_rejected(connection, limit=limit))
    if not rows:
        print_data("no rejected records")
        return
    cells = [
        [str(row["rejected_id"]), str(row["run_id"]), row["received_at"], row["reason"], _shorten(row["raw"])]
        for row in rows
    ]
    print_table(["id", "run", "received_at", "reason", "record"], cells)


@rejected.command(short_help="Retry loading rejected records.")
@database_option
@wait_option
@json_option("one JSON object")
def retry(*, database_url: str, wait: bool, as_json: bool) -> None:
    """
    Retry loading rejected records, which a newer release may be able to read.

    Records that are loaded, or whose task has been stored since, are removed from the list.
    """
    from etl.sync.api import ensure_writable, writing
    from etl.sync.retry_rejected import retry_rejected

    with writing(database_url, wait=wait) as connection, connection.begin():
        ensure_writable(connection, migrate=False)
        outcome = retry_rejected(connection)
    text = (
        f"{outcome.loaded:,} loaded, {outcome.known:,} already stored, "
        f"{outcome.still_rejected:,} still rejected"
    )
    print_report(outcome if as_json else text)


def _shorten(raw: str) -> str:
    return raw if len(raw) <= _SHOWN_CHARACTERS else f"{raw[: _SHOWN_CHARACTERS - 1]}…"
