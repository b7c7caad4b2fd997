"""`gcore-etl status`: what is in the database, and how fresh it is."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from etl.cli.console import print_table, show
from etl.cli.settings import database_option, load_settings
from etl.json_output import to_json

if TYPE_CHECKING:
    from etl.sync.status import Status


@click.command()
@database_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(*, database_url: str | None, as_json: bool) -> None:
    """Show how many tasks are stored, how fresh they are, and what expires soon."""
    from etl.database import reading
    from etl.sync.status import read_status

    with reading(load_settings(database_url=database_url).database_url) as connection:
        found = read_status(connection)
    if as_json:
        show(to_json({**dataclasses.asdict(found), "present": found.present}))
    else:
        _print(found)


def _print(found: Status) -> None:
    print_table(["status", "tasks"], [*found.by_status.items(), ("all", found.present)])
    last = found.last_run or {}
    lines = {
        "removed at the source": f"{found.removed:,}",
        "deleted, not marked yet": f"{found.deleted_waiting:,} (the next full read finds them)"
        if found.deleted_waiting
        else None,
        "in flight": f"{found.in_flight:,}",
        "rejected records": f"{found.rejected:,}",
        "results not archived": _waiting(found),
        "complete up to": f"{found.watermark:%Y-%m-%d %H:%M:%S} UTC" if found.watermark else "never synced",
        "last full read": f"{found.last_full_at:%Y-%m-%d %H:%M:%S} UTC" if found.last_full_at else "never",
        "date_created means": found.date_filter,
        "last run": f"{last['run_id']} ({last['mode']}), {last['status']}" if last else "none",
        "its error": last.get("error"),
    }
    for name, value in lines.items():
        if value:
            show(f"{name + ':':26}{value}")


def _waiting(found: Status) -> str:
    if found.first_result_lost_at is None:
        return f"{found.results_waiting:,}"
    return (
        f"{found.results_waiting:,} ({found.results_expiring_soon:,} to be deleted by the API within 7 days, "
        f"the first on {found.first_result_lost_at:%Y-%m-%d})"
    )
