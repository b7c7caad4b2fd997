"""The Alembic environment: the connection to use, and the schema to compare with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic import command, context

from etl.models import metadata_with_conditions

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.schema import SchemaItem


def is_ours(item: SchemaItem, _name: object, kind: str, reflected: bool, twin: object) -> bool:  # noqa: FBT001
    """
    Return whether Alembic should compare an object.

    Tables and indexes that users added are left out, and indexes that only the other database has.
    """
    if kind == "index" and item.info.get("dialect") not in {None, context.get_context().dialect.name}:
        return False
    return not (kind in {"table", "index"} and reflected and twin is None)


def migrate(connection: Connection) -> None:
    """Run the migrations in the transaction of the caller."""
    context.configure(
        connection=connection,
        target_metadata=metadata_with_conditions(),
        include_object=is_ours,
        compare_server_default=True,
    )
    context.run_migrations()


if "connection" in context.config.attributes:
    migrate(context.config.attributes["connection"])
else:  # the plain `alembic` command, in a checkout
    from etl.database import changing_schema
    from etl.settings import Settings
    from etl.sync.api import writing

    with (
        writing(Settings.load().database_url) as own_connection,
        own_connection.begin(),
        changing_schema(own_connection, is_downgrade=context.config.cmd_opts.cmd[0] is command.downgrade),
    ):
        migrate(own_connection)
