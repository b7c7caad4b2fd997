"""`gcore-etl status`: what is in the database, and how fresh it is."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING

import click

from etl.cli.console import format_cell, print_data, print_table
from etl.cli.options import database_option, json_option
from etl.durations import format_duration
from etl.enums import DateFilter
from etl.json_output import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.sync.status import Status

_LABEL_WIDTH = 26


@click.command()
@database_option
@json_option("one JSON object")
def status(*, database_url: str, as_json: bool) -> None:
    """Show how many tasks are stored, how fresh they are, and which results expire soon."""
    from etl.database import reading
    from etl.sync.status import read_status

    with reading(database_url) as connection:
        found = read_status(connection)
    if as_json:
        print_data(to_json({**dataclasses.asdict(found), "present": found.present}))
    else:
        print_table(["status", "tasks"], [*found.by_status.items(), ("total", found.present)])
        print_data("")
        for label, value in _lines(found, now=dt.datetime.now(dt.UTC)):
            print_data(f"{label + ':':{_LABEL_WIDTH}}{value}")


def _lines(found: Status, *, now: dt.datetime) -> Iterator[tuple[str, str]]:
    yield "in flight", f"{found.in_flight:,}"
    yield "marked as removed", f"{found.removed:,}"
    if found.deleted_waiting:
        yield "deleted, not yet marked", f"{found.deleted_waiting:,} (the next complete scan marks them)"
    yield "rejected records", f"{found.rejected:,}"
    yield "results pending", _pending(found)
    yield "watermark", _instant(found.watermark) or "none (never synced)"
    yield "date filter", found.date_filter or DateFilter.UNKNOWN
    yield "last complete scan", _instant(found.last_full_at) or "never"
    yield "last successful run", _with_age(found.last_success_at, now) or "never"
    if found.last_run is None:
        yield "last run", "none"
        return
    yield "last run", "{run_id} ({mode}), {status}".format(**found.last_run)
    if found.last_run["error"]:
        yield "last error", format_cell(found.last_run["error"])


def _pending(found: Status) -> str:
    if found.first_result_lost_at is None:
        return f"{found.results_waiting:,}"
    return (
        f"{found.results_waiting:,} ({found.results_expiring_soon:,} expire within 7 days, "
        f"the first on {found.first_result_lost_at:%Y-%m-%d})"
    )


def _instant(moment: dt.datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _with_age(moment: dt.datetime | None, now: dt.datetime) -> str | None:
    return None if moment is None else f"{_instant(moment)} ({format_duration(now - moment)} ago)"
