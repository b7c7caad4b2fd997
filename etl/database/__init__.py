"""The database: how it is opened, how its schema is kept, and how its failures read."""

from etl.database.driver_errors import database_errors, explain
from etl.database.engine import connect_sqlite, describe, open_engine
from etl.database.reading import reading
from etl.database.schema import (
    check,
    current_revision,
    downgrade,
    ensure_schema,
    head_revision,
    migrations_dir,
    upgrade,
    views_aside,
)

__all__ = [
    "check",
    "connect_sqlite",
    "current_revision",
    "database_errors",
    "describe",
    "downgrade",
    "ensure_schema",
    "explain",
    "head_revision",
    "migrations_dir",
    "open_engine",
    "reading",
    "upgrade",
    "views_aside",
]
