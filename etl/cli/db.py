"""`gcore-etl db …`: the database schema."""

from __future__ import annotations

import click

from etl.cli.console import print_data, print_report
from etl.cli.options import database_option, wait_option
from etl.cli.params import REVISION
from etl.text import counted


@click.group()
def db() -> None:
    """Upgrade, downgrade and check the database schema."""


@db.command(short_help="Upgrade the schema.")
@click.argument("revision", type=REVISION, default="head")
@wait_option
@database_option
def upgrade(*, revision: str, wait: bool, database_url: str) -> None:
    """Upgrade the schema to REVISION; by default to the latest (head)."""
    from etl import database
    from etl.load.indexes import build_indexes
    from etl.sync.api import writing

    with writing(database_url, wait=wait) as connection, connection.begin():
        before = database.current_revision(connection)
        database.upgrade(connection, revision)
        after = database.current_revision(connection)
        if after == database.head_revision():
            build_indexes(connection)
    was = "unchanged" if before == after else f"was {before or 'empty'}"
    print_report(f"schema {after} ({was})")


@db.command(short_help="Downgrade the schema; newer tables and columns are dropped.")
@click.argument("revision", type=REVISION)
@wait_option
@database_option
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def downgrade(*, revision: str, wait: bool, database_url: str, yes: bool) -> None:
    """
    Downgrade the schema to REVISION, such as 0001, or base for an empty database.

    Tables and columns of newer revisions are dropped with their data.
    """
    from etl import database
    from etl.sync.api import writing

    if not yes:
        question = f"Tables and columns newer than {revision} will be dropped with their data. Continue?"
        click.confirm(question, abort=True, err=True)
    with writing(database_url, wait=wait) as connection, connection.begin():
        before = database.current_revision(connection)
        database.downgrade(connection, revision)
        after = database.current_revision(connection)
    print_report(f"schema {after or 'empty'} (was {before or 'empty'})")


@db.command(short_help="Show the revision of the schema.")
@database_option
def current(*, database_url: str) -> None:
    """Show the revision of the database schema, and the latest one of this release."""
    from etl import database

    with database.reading(database_url, any_schema=True) as connection:
        found = database.current_revision(connection)
    print_data(f"{found or 'empty'} (latest: {database.head_revision()})")


@db.command(short_help="Compare the schema with this release.")
@database_option
def check(*, database_url: str) -> None:
    """Compare the schema with this release; exit with code 4 if they differ."""
    from etl import database
    from etl.errors import DatabaseError
    from etl.load.indexes import missing_indexes

    with database.reading(database_url) as connection:
        differences = database.check(connection)
        missing = {f"add_index: {index.name}" for index in missing_indexes(connection)}
    for difference in differences:
        print_report(difference)
    if differences and missing.issuperset(differences):
        found = counted(len(differences), "index is", plural="indexes are")
        raise DatabaseError(
            f"{found} missing, because the first sync was interrupted: "
            "run gcore-etl sync or gcore-etl db upgrade"
        )
    if differences:
        raise DatabaseError(
            f"the schema differs from this release in {counted(len(differences), 'place')}, listed above: "
            "undo these changes, or sync into a new database (-d)"
        )
    print_report("the schema matches this release")
