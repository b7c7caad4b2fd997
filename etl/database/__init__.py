"""Engines, schema, sessions and driver errors of the two databases."""

from etl.database.cancel import cancelled_on_stop
from etl.database.driver_errors import database_errors, translate
from etl.database.engine import connected, describe, file_of, open_engine, reading
from etl.database.postgres import parse_writer_name
from etl.database.privileges import (
    catch_up_sequences,
    explain_missing_privileges,
    require_sync_privileges,
    require_upgrade_privileges,
    sequences_behind,
)
from etl.database.revisions import current_revision, head_revision, migrations_dir
from etl.database.schema import changing_schema, check, downgrade, ensure_schema, upgrade
from etl.database.session_settings import location_of, pinned_session, reader_settings
from etl.database.sqlite import connect_sqlite, refuse_unwritable
from etl.database.sqlite_files import may_stay_open, refuse_changed

__all__ = [
    "cancelled_on_stop",
    "catch_up_sequences",
    "changing_schema",
    "check",
    "connect_sqlite",
    "connected",
    "current_revision",
    "database_errors",
    "describe",
    "downgrade",
    "ensure_schema",
    "explain_missing_privileges",
    "file_of",
    "head_revision",
    "location_of",
    "may_stay_open",
    "migrations_dir",
    "open_engine",
    "parse_writer_name",
    "pinned_session",
    "reader_settings",
    "reading",
    "refuse_changed",
    "refuse_unwritable",
    "require_sync_privileges",
    "require_upgrade_privileges",
    "sequences_behind",
    "translate",
    "upgrade",
]
