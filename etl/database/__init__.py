"""The database: how it is opened, how its schema is kept, and how its failures read."""

from etl.database.cancel import cancelled_on_stop
from etl.database.driver_errors import database_errors, explain
from etl.database.engine import describe, file_of, open_engine
from etl.database.postgres import writer_named
from etl.database.privileges import (
    missing_privileges_named,
    refuse_without_rights_to_sync,
    refuse_without_rights_to_upgrade,
)
from etl.database.read_only import connected, reading
from etl.database.schema import (
    changing_schema,
    check,
    current_revision,
    downgrade,
    ensure_schema,
    head_revision,
    migrations_dir,
    upgrade,
)
from etl.database.sequences import catch_up_sequences, sequences_behind
from etl.database.session_settings import exact_reading, lasting_session, location_of
from etl.database.sqlite import connect_sqlite, refuse_unwritable
from etl.database.sqlite_readers import may_stay_open, refuse_changed

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
    "exact_reading",
    "explain",
    "file_of",
    "head_revision",
    "lasting_session",
    "location_of",
    "may_stay_open",
    "migrations_dir",
    "missing_privileges_named",
    "open_engine",
    "reading",
    "refuse_changed",
    "refuse_unwritable",
    "refuse_without_rights_to_sync",
    "refuse_without_rights_to_upgrade",
    "sequences_behind",
    "upgrade",
    "writer_named",
]
