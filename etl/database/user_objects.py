"""
Protection of users' views, triggers, indexes and policies during a change of the schema.

A migration changes tables in place, so that users' objects on them survive. If it would still drop or break
one, the change is refused with an error that names the object.
"""

from __future__ import annotations

import contextlib
import dataclasses
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
    WITH ours AS (SELECT oid, relname FROM pg_class WHERE relname = ANY(%(tables)s) AND relkind IN ('r', 'p')
                  AND pg_table_is_visible(oid))
    SELECT 'trigger', tgname, relname FROM ours JOIN pg_trigger ON tgrelid = ours.oid WHERE NOT tgisinternal
    UNION ALL
    SELECT 'rule', rulename, relname FROM ours JOIN pg_rewrite ON ev_class = ours.oid
    UNION ALL
    SELECT 'policy', polname, relname FROM ours JOIN pg_policy ON polrelid = ours.oid
    UNION ALL
    SELECT 'index', i.relname, ours.relname FROM ours JOIN pg_index x ON x.indrelid = ours.oid
    JOIN pg_class i ON i.oid = x.indexrelid
    ORDER BY 1, 2
"""


@dataclasses.dataclass(frozen=True, slots=True)
class _Object:
    """A user's object: its kind, its name, and the table or view it belongs to."""

    kind: str
    name: str
    on: str

    def __str__(self) -> str:
        """Return its description for a message."""
        return f"the {self.kind} {self.name}" + (f" on {self.on}" if self.on != self.name else "")


_numbers = itertools.count()
# For each object: the operations on it, and the error of each, or None.
_Survey = dict[_Object, dict[str, str | None]]


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
    for each, errors in before.items():
        if each not in after:
            raise DatabaseError(_refusal(f"{each} would be lost", command))
        for operation, error in after[each].items():
            if error is not None and errors.get(operation) is None:
                raise DatabaseError(_refusal(f"{each} would no longer work ({error})", command))


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


def _survey_postgres(connection: Connection, _own_views: Sequence[str]) -> _Survey:
    """Return the objects on our tables. Postgres itself refuses to break other dependent objects."""
    rows = connection.exec_driver_sql(_ON_POSTGRES, {"tables": list(_OURS)})
    found = (_Object(*row) for row in rows)
    return {each: {} for each in found if not (each.kind == "index" and _OUR_INDEX.match(each.name))}


def _survey_sqlite(connection: Connection, own_views: Sequence[str]) -> _Survey:
    """Return users' views and their objects that are on our tables or refer to them."""
    rows = connection.exec_driver_sql(
        "SELECT type, name, tbl_name FROM sqlite_master "
        "WHERE type IN ('view', 'trigger', 'index') AND sql <> '' ORDER BY type, name"
    ).all()
    found: _Survey = {}
    for kind, name, on in rows:
        if kind == "index":
            if on.lower() in _OURS and not _OUR_INDEX.match(name):
                found[_Object(kind, name, on)] = {}
        elif kind == "trigger":
            found[_Object(kind, name, on)] = _errors_of(connection, on, _writes_to(connection, on))
        elif name.lower() not in own_views:
            found[_Object(kind, name, on)] = _errors_of(connection, on, {"read": "SELECT * FROM {}"})
    references = connection.exec_driver_sql(
        """
        SELECT m.name, f."table",
               EXISTS (SELECT 1 FROM sqlite_master t WHERE lower(t.name) = lower(f."table"))
        FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table'
        """
    )
    for name, on, has_target in references:
        if on.lower() in _OURS:
            found[_Object("foreign key of", name, on)] = {
                "refer": None if has_target else f"no such table: {on}"
            }
    return found


def _writes_to(connection: Connection, relation: str) -> dict[str, str]:
    """Return an INSERT, UPDATE and DELETE, each of which involves the triggers of that kind."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    literal = relation.replace("'", "''")
    try:
        columns = (
            connection.exec_driver_sql(f"SELECT name FROM pragma_table_info('{literal}')").scalars().all()
        )
    except OperationalError:
        columns = []  # the view is broken
    changes = ", ".join(f"{quote(column)} = {quote(column)}" for column in columns) or "nothing = nothing"
    return {
        "insert": "INSERT INTO {} DEFAULT VALUES",
        "update": f"UPDATE {{}} SET {changes.replace('{', '{{').replace('}', '}}')}",
        "delete": "DELETE FROM {}",
    }


def _errors_of(connection: Connection, relation: str, statements: dict[str, str]) -> dict[str, str | None]:
    """Return the error of compiling each statement, or None. No statement is run."""
    name = connection.dialect.identifier_preparer.quote_identifier(relation)
    errors: dict[str, str | None] = {}
    for operation, statement in statements.items():
        try:
            # A unique comment, because the driver caches statements compiled before the change.
            connection.exec_driver_sql(f"EXPLAIN {statement.format(name)} -- {next(_numbers)}").close()
            errors[operation] = None
        except OperationalError as error:
            errors[operation] = str(error.orig)
    return errors
