"""Reading what is there: no lock, no write, and never in the way of a sync."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from etl.database.driver_errors import database_errors
from etl.database.engine import open_engine
from etl.database.privileges import missing_privileges_named
from etl.database.schema import ensure_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection


@contextlib.contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Give a connection that can only read, in no transaction yet. Raises DatabaseError if there is none."""
    with database_errors():
        engine = open_engine(url, read_only=True)
        try:
            with engine.connect() as connection, missing_privileges_named(connection):
                yield connection
        finally:
            engine.dispose()


@contextlib.contextmanager
def reading(url: str, *, any_schema: bool = False) -> Iterator[Connection]:
    """
    Give a connection inside one read-only transaction, so that all it reads is of one instant.

    Raises DatabaseError where there is no database, and, unless told `any_schema`, where its schema is not
    the one this release works with.
    """
    with connected(url) as connection, connection.begin():
        if not any_schema:
            ensure_schema(connection, migrate=False)
        yield connection
