"""
What a Postgres role may do with the copy, and the statements that would allow it what it needs.

Asked for before a sync writes, because a server only names the first thing that it refuses. After a refusal,
to say what to run.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from etl import views
from etl.database.postgres_errors import is_missing_privilege
from etl.database.search_path import Location, locate, quoted
from etl.database.session_settings import location_of
from etl.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    Needs = dict[str, tuple[str, ...]]

# All that a sync does to each table.
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
# Other commands delete what a sync keeps.
_PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE")
_TO_WRITE: Needs = _TO_READ | dict.fromkeys(_TO_SYNC, _PRIVILEGES)
# The columns that number rows, and what counts for them.
SEQUENCES = {"rejected_records": "rejected_id", "sync_runs": "run_id", "task_history": "history_id"}
# More missing privileges than this are granted all at once.
_MAX_NAMED = 3

_IN_SCHEMA = "relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = :schema)"
# A role may have been granted every column, but not the table.
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


def refuse_without_rights_to_sync(connection: Connection) -> None:
    """Raise DatabaseError with the statements that would allow this role what a sync does."""
    location = location_of(connection)
    if location is None or location.schema is None:
        return
    _refuse_row_security(connection, location.schema.name)
    _refuse(location, grants(connection, location, _TO_SYNC))


def refuse_without_rights_to_upgrade(connection: Connection) -> None:
    """Raise DatabaseError if this role may not create tables where the copy is, or does not own those."""
    location = location_of(connection)
    if location is None:
        return
    schema, role = location.require_schema(), quoted(location.role)
    statement = sa.text(
        f"SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_catalog.pg_class WHERE {_IN_SCHEMA}"
        " AND relname IN :relations AND NOT pg_has_role(relowner, 'USAGE') ORDER BY 1"
    ).bindparams(sa.bindparam("relations", expanding=True, type_=sa.Text))
    names = {"schema": schema.name, "relations": list(RELATIONS)}
    owners = connection.scalars(statement, names).all()
    if owners:
        raise DatabaseError(
            f"the tables in schema {schema.name} belong to role {owners[0]}, which alone can upgrade them: "
            f"run gcore-etl db upgrade as that role, or GRANT {quoted(owners[0])} TO {role}"
        )
    if not schema.may_create:
        _refuse(location, [f"GRANT CREATE ON SCHEMA {quoted(schema.name)} TO {role}"])


@contextlib.contextmanager
def missing_privileges_named(connection: Connection, *, is_writer: bool = False) -> Iterator[None]:
    """Raise DatabaseError with the statements to run where the server says that the role may not do it."""
    try:
        yield
    except DBAPIError as error:
        if not is_missing_privilege(error):
            raise
        connection.rollback()
        with connection.begin():
            location = location_of(connection) or locate(connection)
            for needs in (_TO_SYNC, _TO_WRITE) if is_writer else (_TO_READ,):
                _refuse(location, grants(connection, location, needs), error)
        raise


def grants(connection: Connection, location: Location, needs: Needs) -> list[str]:
    """Return the statements that would allow the role what it needs; none where it may do it all."""
    if location.schema is None:
        return []
    role, schema = quoted(location.role), quoted(location.schema.name)
    lacking: dict[str, list[str]] = {}
    for relation, privilege in _lacking(connection, location.schema.name, needs):
        lacking.setdefault(relation, []).append(privilege)
    statements = [f"GRANT {', '.join(what)} ON {schema}.{name} TO {role}" for name, what in lacking.items()]
    if len(statements) > _MAX_NAMED:
        what = [each for each in _PRIVILEGES if any(each in some for some in lacking.values())]
        statements = [f"GRANT {', '.join(what)} ON ALL TABLES IN SCHEMA {schema} TO {role}"]
    if needs is _TO_READ:
        return statements
    if any(connection.scalars(_SEQUENCES, {"schema": location.schema.name})):
        statements.append(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}")
    database, may_make_temporary = connection.execute(
        sa.text(
            "SELECT quote_ident(current_database()), has_database_privilege(current_database(), 'TEMPORARY')"
        )
    ).one()
    if not may_make_temporary:
        statements.append(f"GRANT TEMPORARY ON DATABASE {database} TO {role}")
    return statements


def _lacking(connection: Connection, schema: str, needs: Needs) -> list[tuple[str, str]]:
    pairs = ", ".join(f"('{name}', '{each}')" for name, privileges in needs.items() for each in privileges)
    statement = sa.text(
        f"SELECT relation, privilege FROM (VALUES {pairs}) AS needed (relation, privilege)"
        f" JOIN pg_catalog.pg_class ON relname = relation AND {_IN_SCHEMA} WHERE {_HAS_NOT}"
    )
    return [(row.relation, row.privilege) for row in connection.execute(statement, {"schema": schema})]


def _refuse_row_security(connection: Connection, schema: str) -> None:
    """Refuse to sync where policies hide rows: what is hidden would be taken for new, or for gone."""
    statement = sa.text(
        f"SELECT relname FROM pg_catalog.pg_class WHERE {_IN_SCHEMA} AND relname IN :relations"
        " AND relkind IN ('r', 'p') AND row_security_active(oid) ORDER BY 1"
    ).bindparams(sa.bindparam("relations", expanding=True, type_=sa.Text))
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
