"""`gcore-etl doctor`: checks of everything that a sync needs."""

from __future__ import annotations

import click

from etl.cli.console import print_data
from etl.cli.options import load_settings, source_options
from etl.secret import clean_line


@click.command()
@source_options
def doctor(**options: str | None) -> None:
    """
    Check the key, the API, the clock, the database and the schema, and explain how to fix each problem.

    The exit code is the one that a sync would end with.
    """
    settings = load_settings(**options)
    from etl.sync.doctor import examine
    from etl.sync.run import utc_now

    exit_codes = {}
    for finding in examine(settings, now=utc_now):
        mark = click.style("ok  ", fg="green") if finding.is_good else click.style("FAIL", fg="red")
        print_data(f"{mark}  {finding.name:14}{clean_line(finding.detail)}")
        exit_codes[finding.name] = finding.exit_code
    # A sync would find the problems in this order.
    found = (exit_codes.get(name, 0) for name in ("key", "network", "database", "schema", "API", "account"))
    click.get_current_context().exit(next(filter(None, found), 0))
