"""`gcore-etl db …`: the schema."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

import click

from etl.cli.console import say, show
from etl.cli.settings import database_option, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa


@click.group()
def db() -> None:
    """Upgrade, downgrade and check the schema of the database."""


@contextlib.contextmanager
def _writing(database_url: str | None, *, wait: bool) -> Iterator[sa.Connection]:
    from etl.sync.api import writing

    url = load_settings(database_url=database_url).database_url
    with writing(url, wait=wait) as connection, connection.begin():
        yield connection


class _Revision(click.ParamType[str]):
    """A revision of the schema, or how many steps to go."""

    name = "revision"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        """Return it, unless it is not written like one."""
        if re.fullmatch(r"\w+([+-]\d+)?|[+-]\d+", str(value), re.ASCII) is None:
            self.fail(
                f"{value!r} is not a revision: write 0003, head, base, or -1 for one step back", param, ctx
            )
        return str(value)


@db.command()
@click.argument("revision", type=_Revision(), default="head")
@click.option("--wait", is_flag=True, help="Wait for a running sync to end.")
@database_option
def upgrade(*, revision: str, wait: bool, database_url: str | None) -> None:
    """Bring the schema up to REVISION (the newest by default)."""
    from etl import database
    from etl.load.indexes import build_indexes

    with _writing(database_url, wait=wait) as connection:
        before = database.current_revision(connection)
        database.upgrade(connection, revision)
        after = database.current_revision(connection)
        if after == database.head_revision():
            build_indexes(connection)
    say(f"schema {after}" + (" already" if before == after else f" (was {before or 'empty'})"))


@db.command()
@click.argument("revision", type=_Revision())
@click.option("--wait", is_flag=True, help="Wait for a running sync to end.")
@database_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def downgrade(*, revision: str, wait: bool, database_url: str | None, yes: bool) -> None:
    """Take the schema back to REVISION (such as 0001, or base)."""
    from etl import database

    if not yes:
        question = "Tables and columns newer than that are dropped with their data. Go on?"
        click.confirm(question, abort=True, err=True)
    with _writing(database_url, wait=wait) as connection:
        before = database.current_revision(connection)
        database.downgrade(connection, revision)
        after = database.current_revision(connection)
    say(f"schema {after or 'empty'} (was {before or 'empty'})")


@db.command()
@database_option
def current(*, database_url: str | None) -> None:
    """Show the schema's revision, and the newest that this release knows."""
    from etl import database

    with database.reading(
        load_settings(database_url=database_url).database_url, any_schema=True
    ) as connection:
        found = database.current_revision(connection)
    show(f"{found or 'empty'} (this release: {database.head_revision()})")


@db.command()
@database_option
def check(*, database_url: str | None) -> None:
    """Compare the schema with what this release expects; end with 4 if they differ."""
    from etl import database
    from etl.errors import DatabaseError
    from etl.load.indexes import missing_indexes

    with database.reading(load_settings(database_url=database_url).database_url) as connection:
        differences = database.check(connection)
        waiting = {f"add_index: {index.name}" for index in missing_indexes(connection)}
    for difference in differences:
        say(difference)
    if differences and waiting.issuperset(differences):
        raise DatabaseError(
            f"{len(differences)} indexes are missing, as after a first load that was cut short: "
            "run gcore-etl sync or gcore-etl db upgrade"
        )
    if differences:
        places = "1 place" if len(differences) == 1 else f"{len(differences)} places"
        raise DatabaseError(f"the schema differs from what this release expects in {places}")
    say("the schema is what this release expects")
