"""
Missing privileges of a Postgres role, and the GRANT statements for them; sequences that it cannot use.

Privileges are checked before a sync writes, because the server reports only the first missing one, and after
a refusal, to list the statements to run. A sequence that lags behind the highest number in its column would
make the next insert fail.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from etl import views
from etl.database.search_path import Location, locate, quoted
from etl.database.session_settings import location_of
from etl.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    Needs = dict[str, tuple[str, ...]]

# The privileges that a sync needs on each table.
_TO_SYNC: Needs = {
    "alembic_version": ("SELECT",),
    "detections": ("SELECT", "INSERT", "DELETE"),
    "rejected_records": ("SELECT", "INSERT"),
    "subtitles": ("SELECT", "INSERT", "DELETE"),
    "sync_runs": ("SELECT", "INSERT", "UPDATE"),
    "sync_state": ("SELECT", "UPDATE"),
    "task_history": ("SELECT", "INSERT"),
    "task_results": ("SELECT", "INSERT", "UPDATE"),
    "tasks": ("SELECT", "INSERT", "UPDATE"),
    "transcript_parts": ("SELECT", "INSERT", "DELETE"),
    "transcript_words": ("SELECT", "INSERT", "DELETE"),
}
RELATIONS = (*_TO_SYNC, *views.NAMES)
_TO_READ: Needs = dict.fromkeys(RELATIONS, ("SELECT",))
# Other commands also delete.
_PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE")
_TO_WRITE: Needs = _TO_READ | dict.fromkeys(_TO_SYNC, _PRIVILEGES)
# The identity column of each table that has one.
SEQUENCES = {"rejected_records": "rejected_id", "sync_runs": "run_id", "task_history": "history_id"}
_INSUFFICIENT_PRIVILEGE = "42501"
# If more tables lack privileges, the advice grants them on all tables.
_MAX_NAMED = 3

_IN_SCHEMA = "relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = :schema)"
# Privileges may have been granted on every column instead of on the table.
_HAS_NOT = """
    NOT has_table_privilege(pg_class.oid, privilege) AND (privilege = 'DELETE' OR EXISTS (
        SELECT FROM pg_catalog.pg_attribute WHERE attrelid = pg_class.oid AND attnum > 0
        AND NOT attisdropped AND NOT has_column_privilege(pg_class.oid, attnum, privilege)))
"""
_NUMBERED = ", ".join(f"('{table}', '{column}')" for table, column in SEQUENCES.items())
_SEQUENCES = sa.text(
    "SELECT sequence FROM (SELECT pg_get_serial_sequence(quote_ident(:schema) || '.' || relname, name)"
    f" AS sequence FROM (VALUES {_NUMBERED}) AS numbered (relation, name)"
    f" JOIN pg_catalog.pg_class ON relname = relation AND {_IN_SCHEMA}) AS found"
    " WHERE sequence IS NOT NULL AND NOT has_sequence_privilege(sequence, 'USAGE, UPDATE')"
)
_SEQUENCE_STATE = sa.text(
    " UNION ALL ".join(
        f"SELECT {name} AS name, (SELECT max({column}) FROM {table}) AS highest,"
        # Before Postgres 17, reading the last value requires more than the privilege to set it.
        f" CASE WHEN has_sequence_privilege({name}, 'SELECT, USAGE')"
        f" THEN pg_sequence_last_value(CAST({name} AS regclass)) END AS last,"
        f" has_sequence_privilege({name}, 'UPDATE') AS may_set"
        for table, column in SEQUENCES.items()
        for name in [f"pg_get_serial_sequence('{table}', '{column}')"]
    )
)
_SET_SEQUENCE = sa.text("SELECT setval(CAST(:name AS regclass), :highest)")


def require_sync_privileges(connection: Connection) -> None:
    """Raise DatabaseError with the statements to run if this role lacks privileges for a sync."""
    location = location_of(connection)
    if location is None or location.schema is None:
        return
    _refuse_row_security(connection, location.schema.name)
    _refuse(location, grants(connection, location, _TO_SYNC))


def require_upgrade_privileges(connection: Connection) -> None:
    """Raise DatabaseError if this role does not own the tables, or may not create tables in the schema."""
    location = location_of(connection)
    if location is None:
        return
    schema, role = location.require_schema(), quoted(location.role)
    statement = sa.text(
        f"SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_catalog.pg_class WHERE {_IN_SCHEMA}"
        " AND relname = ANY(:relations) AND NOT pg_has_role(relowner, 'USAGE') ORDER BY 1"
    )
    names = {"schema": schema.name, "relations": list(RELATIONS)}
    owners = connection.scalars(statement, names).all()
    if owners:
        raise DatabaseError(
            f"the tables in schema {schema.name} belong to role {owners[0]}, and only their owner can "
            f"upgrade them: run gcore-etl db upgrade as that role, or GRANT {quoted(owners[0])} TO {role}"
        )
    if not schema.may_create:
        _refuse(location, [f"GRANT CREATE ON SCHEMA {quoted(schema.name)} TO {role}"])


@contextlib.contextmanager
def explain_missing_privileges(connection: Connection, *, is_writer: bool = False) -> Iterator[None]:
    """Raise DatabaseError with the statements to run if a privilege is missing in this block."""
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _INSUFFICIENT_PRIVILEGE:
            raise
        connection.rollback()
        with connection.begin():
            location = location_of(connection) or locate(connection)
            for needs in (_TO_SYNC, _TO_WRITE) if is_writer else (_TO_READ,):
                _refuse(location, grants(connection, location, needs), error)
        raise


def catch_up_sequences(connection: sa.Connection) -> None:
    """
    Set each lagging sequence to the highest number in use. The caller must hold the writer's lock.

    Sequences lag after rows were copied by hand, for instance from SQLite. Raises DatabaseError, with the
    statement to run, if the role may use a sequence but not set it.
    """
    for name, highest in sequences_behind(connection).items():
        connection.execute(_SET_SEQUENCE, {"name": name, "highest": highest})


def sequences_behind(connection: sa.Connection) -> dict[str, int]:
    """Return the lagging sequences and the number to set each to. Raises as `catch_up_sequences` does."""
    behind: dict[str, int] = {}
    if connection.dialect.name != "postgresql":
        return behind
    for name, highest, last, may_set in connection.execute(_SEQUENCE_STATE):
        if name is None or (highest or 0) <= (last or 0):
            continue
        if not may_set:
            raise DatabaseError(
                f"the sequence {name} lags behind its table, as after copying rows by hand: "
                f"run SELECT setval('{name}', {highest}) as its owner"
            )
        behind[name] = highest
    return behind


def grants(connection: Connection, location: Location, needs: Needs) -> list[str]:
    """Return the GRANT statements for the privileges that the role lacks."""
    if location.schema is None:
        return []
    role, schema = quoted(location.role), quoted(location.schema.name)
    pairs = ", ".join(f"('{name}', '{each}')" for name, privileges in needs.items() for each in privileges)
    statement = sa.text(
        f"SELECT relation, privilege FROM (VALUES {pairs}) AS needed (relation, privilege)"
        f" JOIN pg_catalog.pg_class ON relname = relation AND {_IN_SCHEMA} WHERE {_HAS_NOT}"
    )
    missing: dict[str, list[str]] = {}
    for relation, privilege in connection.execute(statement, {"schema": location.schema.name}):
        missing.setdefault(relation, []).append(privilege)
    statements = [f"GRANT {', '.join(some)} ON {schema}.{name} TO {role}" for name, some in missing.items()]
    if len(statements) > _MAX_NAMED:
        privileges = [each for each in _PRIVILEGES if any(each in some for some in missing.values())]
        statements = [f"GRANT {', '.join(privileges)} ON ALL TABLES IN SCHEMA {schema} TO {role}"]
    if needs is _TO_READ:
        return statements
    if any(connection.scalars(_SEQUENCES, {"schema": location.schema.name})):
        statements.append(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}")
    database, may_create_temporary = connection.execute(
        sa.text(
            "SELECT quote_ident(current_database()), has_database_privilege(current_database(), 'TEMPORARY')"
        )
    ).one()
    if not may_create_temporary:
        statements.append(f"GRANT TEMPORARY ON DATABASE {database} TO {role}")
    return statements


def _refuse_row_security(connection: Connection, schema: str) -> None:
    """Raise DatabaseError if policies may hide rows: a sync would treat those as new or as removed."""
    statement = sa.text(
        f"SELECT relname FROM pg_catalog.pg_class WHERE {_IN_SCHEMA} AND relname = ANY(:relations)"
        " AND relkind IN ('r', 'p') AND row_security_active(oid) ORDER BY 1"
    )
    hidden = connection.scalars(statement, {"schema": schema, "relations": list(_TO_SYNC)}).all()
    if hidden:
        raise DatabaseError(
            f"row-level security may hide rows of table {hidden[0]} from a sync: run it as a role with "
            f"BYPASSRLS, or ALTER TABLE {quoted(schema)}.{hidden[0]} DISABLE ROW LEVEL SECURITY"
        )


def _refuse(location: Location, statements: list[str], error: DBAPIError | None = None) -> None:
    if statements:
        raise DatabaseError(
            f"role {location.role} lacks privileges in the database: run {'; '.join(statements)}"
        ) from error
