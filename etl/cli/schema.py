"""`gcore-etl schema`: which tables and views there are, and what a row of each is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from etl.cli.console import show
from etl.json_output import to_json

if TYPE_CHECKING:
    from etl.frames.descriptions import Description


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object each, each on a line.")
def schema(*, name: str | None, as_json: bool) -> None:
    """
    Say which tables and views there are, what a row of each is, and its columns.

    With NAME, only that one. All of it is the same on SQLite and Postgres; no database is asked.
    """
    from etl.frames.descriptions import describe

    described = describe()
    found = [each for each in described if name in {None, each.name}]
    if not found:
        names = ", ".join(each.name for each in described)
        raise click.UsageError(f"there is no table or view {name!r}: choose one of {names}")
    if as_json:
        for each in found:
            show(to_json(each))
    else:
        show("\n\n".join(map(_shown, found)))


def _shown(described: Description) -> str:
    width = max(map(len, described.columns))
    comment = [f"  {line}" for line in described.comment.splitlines()]
    columns = [f"    {name:{width}}  {kind}" for name, kind in described.columns.items()]
    return "\n".join([f"{described.kind} {described.name}", *comment, *columns])
