"""`gcore-etl runs`: the latest runs."""

from __future__ import annotations

from typing import Any

import click

from etl.cli.console import format_cell, print_data, print_table
from etl.cli.options import database_option, json_option, limit_option
from etl.durations import format_duration
from etl.json_output import to_json

_COUNTERS = ("requests", "tasks_seen", "inserted", "updated", "removed", "rejected")


@click.command()
@database_option
@limit_option("runs", 10)
@json_option("one JSON object per run, one per line")
def runs(*, database_url: str, limit: int, as_json: bool) -> None:
    """Show the latest runs, newest first."""
    from etl.database import reading
    from etl.sync.status import recent_runs

    with reading(database_url) as connection:
        found = recent_runs(connection, limit=limit)
    if as_json:
        for run in found:
            print_data(to_json(run))
        return
    if not found:
        print_data("no runs yet")
        return
    columns = ("run_id", "started_at", "mode", "status", "duration", *_COUNTERS)
    print_table(columns, [[{**run, "duration": _duration(run)}[name] for name in columns] for run in found])
    for run in found:
        if run["error"]:
            print_data(f"run {run['run_id']}: {format_cell(run['error'])}")


def _duration(run: dict[str, Any]) -> str | None:
    """Return how long a run took; None while it is running or if it was killed."""
    if run["finished_at"] is None:
        return None
    return format_duration(run["finished_at"] - run["started_at"])
