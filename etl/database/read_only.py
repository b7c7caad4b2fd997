"""Read-only connections: they take no lock, write nothing, and do not block a sync."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from etl.database.driver_errors import database_errors
from etl.database.engine import open_engine
from etl.database.privileges import explain_missing_privileges
from etl.database.schema import ensure_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection


@contextlib.contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Yield a read-only connection, not yet in a transaction. Raises DatabaseError if it cannot connect."""
    with database_errors():
        engine = open_engine(url, read_only=True)
        try:
            with engine.connect() as connection, explain_missing_privileges(connection):
                yield connection
        finally:
            engine.dispose()


@contextlib.contextmanager
def reading(url: str, *, any_schema: bool = False) -> Iterator[Connection]:
    """
    Yield a connection in one read-only transaction, so that all reads see one snapshot.

    Raises DatabaseError if there is no database, or if its schema is not this release's and not `any_schema`.
    """
    with connected(url) as connection, connection.begin():
        if not any_schema:
            ensure_schema(connection, migrate=False)
        yield connection
