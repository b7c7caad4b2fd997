"""Engines, schema and driver errors of the two databases. What only one caller needs is in the modules."""

from etl.database.driver_errors import database_errors, translate
from etl.database.engine import connected, describe, file_of, open_engine, reading, sqlite_url
from etl.database.revisions import current_revision, head_revision
from etl.database.schema import changing_schema, check, downgrade, ensure_schema, upgrade

__all__ = [
    "changing_schema",
    "check",
    "connected",
    "current_revision",
    "database_errors",
    "describe",
    "downgrade",
    "ensure_schema",
    "file_of",
    "head_revision",
    "open_engine",
    "reading",
    "sqlite_url",
    "translate",
    "upgrade",
]
