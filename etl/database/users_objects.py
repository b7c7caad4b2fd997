"""
What users have built on our tables and views, over a change of the schema.

A migration changes tables in place, so that triggers, indexes, views and rights on them stay. What it would
break or drop all the same is found here: then the change is refused, and the line names what is in the way.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import re
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, OperationalError

from etl.database.recognition import TABLES
from etl.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

_OURS = (*TABLES, "transcript_words")
_OUR_INDEX = re.compile(rf"(ix|uq|pk)_({'|'.join(_OURS)})(_|$)")
# What SQLite says when a view, trigger or index cannot live with a change of a table.
_IN_THE_WAY = re.compile(r"error in (view|trigger|index|table) (.+?)(?: after [a-z ]+)?: (.*)", re.DOTALL)
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
    """Something of a user's: what it is, its name, and the table or view it is on."""

    kind: str
    name: str
    on: str

    def __str__(self) -> str:
        """Name it for a message."""
        return f"the {self.kind} {self.name}" + (f" on {self.on}" if self.on != self.name else "")


_numbers = itertools.count()
# For each object: what can be done with it, and why it cannot.
_Survey = dict[_Object, dict[str, str | None]]


@contextlib.contextmanager
def users_objects_kept(connection: Connection, command: str, own_views: Sequence[str]) -> Iterator[None]:
    """
    Raise DatabaseError where a change of the schema would drop or break something of a user's.

    The caller then has to roll back. `command` is upgrade or downgrade; `own_views` are not a user's.
    """
    before = _survey(connection, own_views)
    with _named(command):
        yield
    after = _survey(connection, own_views)
    for each, faults in before.items():
        if each not in after:
            raise DatabaseError(_refusal(f"{each} would be lost", command))
        for what, fault in after[each].items():
            if fault is not None and faults.get(what) is None:
                raise DatabaseError(_refusal(f"{each} would no longer work ({fault})", command))


@contextlib.contextmanager
def _named(command: str) -> Iterator[None]:
    """Name what a database refuses to part from."""
    try:
        yield
    except OperationalError as error:
        found = _IN_THE_WAY.match(str(error.orig))
        if found is None:
            raise
        raise DatabaseError(
            _refusal(f"the {found[1]} {found[2]} is in the way ({found[3]})", command)
        ) from error
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _DEPENDENT_OBJECTS:
            raise
        detail = getattr(getattr(error.orig, "diag", None), "message_detail", None) or str(error.orig)
        raise DatabaseError(_refusal(detail.splitlines()[0], command)) from error


def _refusal(what: str, command: str) -> str:
    return f"{what}: nothing was changed; drop it, run gcore-etl db {command}, and create it again"


def _survey(connection: Connection, own_views: Sequence[str]) -> _Survey:
    if connection.dialect.name == "postgresql":
        return _survey_postgres(connection)
    return _survey_sqlite(connection, own_views)


def _survey_postgres(connection: Connection) -> _Survey:
    """Return what is on our tables; what else depends on them, Postgres itself refuses to break."""
    rows = connection.exec_driver_sql(_ON_POSTGRES, {"tables": list(_OURS)})
    found = (_Object(*row) for row in rows)
    return {each: {} for each in found if not (each.kind == "index" and _OUR_INDEX.match(each.name))}


def _survey_sqlite(connection: Connection, own_views: Sequence[str]) -> _Survey:
    """Return users' views, what is on our tables, and what refers to them: SQLite breaks it silently."""
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
            found[_Object(kind, name, on)] = _faults(connection, on, _changes_of(connection, on))
        elif name.lower() not in own_views:
            found[_Object(kind, name, on)] = _faults(connection, on, {"read": "SELECT * FROM {}"})
    references = connection.exec_driver_sql(
        """
        SELECT m.name, f."table",
               EXISTS (SELECT 1 FROM sqlite_master t WHERE lower(t.name) = lower(f."table"))
        FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table'
        """
    )
    for name, on, is_there in references:
        if on.lower() in _OURS:
            found[_Object("foreign key of", name, on)] = {
                "refer": None if is_there else f"no such table: {on}"
            }
    return found


def _changes_of(connection: Connection, relation: str) -> dict[str, str]:
    """Return a change of each kind, which sets off the triggers of that kind."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    literal = relation.replace("'", "''")
    try:
        columns = (
            connection.exec_driver_sql(f"SELECT name FROM pragma_table_info('{literal}')").scalars().all()
        )
    except OperationalError:
        columns = []  # of a view that does not work
    changes = ", ".join(f"{quote(column)} = {quote(column)}" for column in columns) or "nothing = nothing"
    return {
        "insert": "INSERT INTO {} DEFAULT VALUES",
        "update": f"UPDATE {{}} SET {changes.replace('{', '{{').replace('}', '}}')}",
        "delete": "DELETE FROM {}",
    }


def _faults(connection: Connection, relation: str, statements: dict[str, str]) -> dict[str, str | None]:
    """Return why each statement about a relation cannot be compiled, or None; none of them is run."""
    name = connection.dialect.identifier_preparer.quote_identifier(relation)
    faults: dict[str, str | None] = {}
    for what, statement in statements.items():
        try:
            # The driver keeps statements, and would explain one of the same text as it was before the change.
            connection.exec_driver_sql(f"EXPLAIN {statement.format(name)} -- {next(_numbers)}").close()
            faults[what] = None
        except OperationalError as error:
            faults[what] = str(error.orig)
    return faults
