"""
Protection of users' views, triggers, indexes and policies during a change of the schema.

A migration changes tables in place, so that users' objects on them survive. If it would still drop or break
one, the change is refused with an error that names the object.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, OperationalError

from etl.database.revisions import TABLES
from etl.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

_OURS = (*TABLES, "transcript_words")
_OUR_INDEX = re.compile(rf"(ix|uq|pk)_({'|'.join(_OURS)})(_|$)")
# SQLite's message if a view, trigger or index prevents a change of a table.
_CONFLICT = re.compile(r"error in (view|trigger|index|table) (.+?)(?: after [a-z ]+)?: (.*)", re.DOTALL)
_DEPENDENT_OBJECTS = "2BP01"

_ON_POSTGRES = """
    WITH ours AS (SELECT * FROM pg_class WHERE relname = ANY(%(names)s) AND pg_table_is_visible(oid))
    SELECT 'trigger', tgname, relname FROM ours JOIN pg_trigger ON tgrelid = ours.oid WHERE NOT tgisinternal
    UNION ALL
    SELECT 'rule', rulename, relname FROM ours JOIN pg_rewrite ON ev_class = ours.oid
    WHERE rulename <> '_RETURN'
    UNION ALL
    SELECT 'policy', polname, relname FROM ours JOIN pg_policy ON polrelid = ours.oid
    UNION ALL
    SELECT 'index', i.relname, ours.relname FROM ours JOIN pg_index x ON x.indrelid = ours.oid
    JOIN pg_class i ON i.oid = x.indexrelid
    ORDER BY 1, 2
"""


_numbers = itertools.count()
# For each object and each operation on it: the error of the operation, or None.
_Survey = dict[tuple[str, str], str | None]


@contextlib.contextmanager
def preserve_user_objects(connection: Connection, command: str, own_views: Sequence[str]) -> Iterator[None]:
    """
    Raise DatabaseError if the block drops or breaks a user's object; the caller must roll back.

    `command` is upgrade or downgrade, for the message. `own_views` are ours.
    """
    survey = _survey_postgres if connection.dialect.name == "postgresql" else _survey_sqlite
    before = survey(connection, own_views)
    with _conflicts_explained(command):
        yield
    after = survey(connection, own_views)
    for key, error in before.items():
        if key not in after:
            raise DatabaseError(_refusal(f"{key[0]} would be lost", command))
        if error is None and after[key] is not None:
            raise DatabaseError(_refusal(f"{key[0]} would no longer work ({after[key]})", command))


@contextlib.contextmanager
def _conflicts_explained(command: str) -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        match = _CONFLICT.match(str(error.orig))
        if match is None:
            raise
        raise DatabaseError(
            _refusal(f"the {match[1]} {match[2]} prevents the change ({match[3]})", command)
        ) from error
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _DEPENDENT_OBJECTS:
            raise
        detail = getattr(getattr(error.orig, "diag", None), "message_detail", None) or str(error.orig)
        raise DatabaseError(_refusal(detail.splitlines()[0], command)) from error


def _refusal(what: str, command: str) -> str:
    return f"{what}: nothing was changed; drop it, run gcore-etl db {command}, and create it again"


def _describe(kind: str, name: str, on: str) -> str:
    return f"the {kind} {name}" + (f" on {on}" if on != name else "")


def _survey_postgres(connection: Connection, own_views: Sequence[str]) -> _Survey:
    """Return what is on our tables and views. Postgres itself refuses to break other dependent objects."""
    rows = connection.exec_driver_sql(_ON_POSTGRES, {"names": [*_OURS, *own_views]})
    return {
        (_describe(kind, name, on), ""): None
        for kind, name, on in rows
        if not (kind == "index" and _OUR_INDEX.match(name))
    }


def _survey_sqlite(connection: Connection, own_views: Sequence[str]) -> _Survey:
    """Return users' views and their objects that are on our tables or refer to them."""
    rows = connection.exec_driver_sql(
        "SELECT type, name, tbl_name FROM sqlite_master "
        "WHERE type IN ('view', 'trigger', 'index') AND sql <> '' ORDER BY type, name"
    ).all()
    found: _Survey = {}
    for kind, name, on in rows:
        if kind == "index" and on.lower() in _OURS and not _OUR_INDEX.match(name):
            found[_describe(kind, name, on), ""] = None
        elif kind == "trigger" or (kind == "view" and name.lower() not in own_views):
            for operation, statement in _statements_on(connection, on, is_view=kind == "view"):
                found[_describe(kind, name, on), operation] = _error_of(connection, statement)
    references = connection.exec_driver_sql(
        """
        SELECT m.name, f."table",
               EXISTS (SELECT 1 FROM sqlite_master t WHERE lower(t.name) = lower(f."table"))
        FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table'
        """
    )
    for name, on, has_target in references:
        if on.lower() in _OURS:
            error = None if has_target else f"no such table: {on}"
            found[_describe("foreign key of", name, on), "refer"] = error
    return found


def _statements_on(connection: Connection, relation: str, *, is_view: bool) -> Iterator[tuple[str, str]]:
    """Yield a SELECT for a view; for the triggers on a relation, an INSERT, UPDATE and DELETE."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    table = quote(relation)
    if is_view:
        yield "read", f"SELECT * FROM {table}"
        return
    try:
        columns = (
            connection.exec_driver_sql("SELECT name FROM pragma_table_info(?)", (relation,)).scalars().all()
        )
    except OperationalError:
        columns = []  # the view is broken
    changes = ", ".join(f"{quote(column)} = {quote(column)}" for column in columns) or "nothing = nothing"
    yield "insert", f"INSERT INTO {table} DEFAULT VALUES"
    yield "update", f"UPDATE {table} SET {changes}"
    yield "delete", f"DELETE FROM {table}"


def _error_of(connection: Connection, statement: str) -> str | None:
    """Return the error of compiling a statement, or None. It is not run."""
    try:
        # A unique comment, because the driver caches statements compiled before the change.
        connection.exec_driver_sql(f"EXPLAIN {statement} -- {next(_numbers)}").close()
    except OperationalError as error:
        return str(error.orig)
    return None
