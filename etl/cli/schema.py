"""`gcore-etl schema`: the tables and views, what a row of each is, and their columns."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import click

from etl.cli.console import print_data
from etl.cli.options import json_option, load_settings
from etl.json_output import to_json

if TYPE_CHECKING:
    from etl.catalog import CatalogEntry

_WIDTH = 100


@click.command()
@click.argument("name", required=False)
@click.option(
    "-d",
    "--database-url",
    metavar="URL",
    help="Check that this database has the schema of this release.  [default: no database is read]",
)
@json_option("one JSON object per table or view, one per line")
def schema(*, name: str | None, database_url: str | None, as_json: bool) -> None:
    """
    Describe the tables and views: what each row represents, and the columns with their types.

    With NAME, describe only that table or view. The schema is the same on SQLite and Postgres.
    """
    from etl.catalog import list_catalog

    entries = list_catalog()
    chosen = [entry for entry in entries if name in {None, entry.name}]
    if not chosen:
        names = ", ".join(entry.name for entry in entries)
        raise click.UsageError(f"there is no table or view {name!r}: choose one of {names}")
    if database_url is not None:
        from etl.database import reading

        with reading(load_settings(database_url=database_url).database_url):
            pass  # it raises DatabaseError for a database with another schema
    if as_json:
        for entry in chosen:
            facts = {"name": entry.name, "kind": entry.kind, "comment": entry.comment}
            print_data(to_json(facts | {"columns": entry.sql_types}))
    else:
        print_data("\n\n".join(map(_as_text, chosen)))


def _as_text(entry: CatalogEntry) -> str:
    width = max(map(len, entry.columns))
    comment = [
        textwrap.fill(paragraph, _WIDTH, initial_indent="  ", subsequent_indent="  ")
        for paragraph in entry.comment.split("\n\n")
    ]
    columns = [f"    {name:{width}}  {kind}" for name, kind in entry.sql_types.items()]
    return "\n".join([f"{entry.kind} {entry.name}", *comment, *columns])
