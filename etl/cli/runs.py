"""`gcore-etl runs`: the last runs."""

from __future__ import annotations

import click

from etl.cli.console import print_table, show
from etl.cli.settings import database_option, load_settings
from etl.json_output import to_json

_SHOWN = ("run_id", "started_at", "mode", "status", "requests", "tasks_seen")
_CHANGES = ("inserted", "updated", "removed", "rejected")


@click.command()
@database_option
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=10, show_default=True, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a run, each on a line.")
def runs(*, database_url: str | None, limit: int, as_json: bool) -> None:
    """Show the last runs, the newest first."""
    from etl.database import reading
    from etl.sync.status import recent_runs

    with reading(load_settings(database_url=database_url).database_url) as connection:
        found = recent_runs(connection, limit=limit)
    if as_json:
        for run in found:
            show(to_json(run))
        return
    columns = (*_SHOWN, *_CHANGES, "error")
    print_table(columns, [[run[name] for name in columns] for run in found])
