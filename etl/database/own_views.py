"""
Our views, recreated where they differ from this release's.

A view that has not changed is left in place, with the grants, triggers and comments that users added to it.
On Postgres, CREATE OR REPLACE keeps a view's owner, grants, comments and dependent views. Only if a column is
removed, renamed or changes its type must the view be dropped; its owner, options, grants and comments are
restored. Users' objects that depend on it would be lost, so they are named in an error, and the caller must
roll back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect, text
from sqlalchemy.exc import ProgrammingError

from etl import views
from etl.errors import DatabaseError, ForeignTablesError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row

# A column would be removed, renamed, or change its type.
_CANNOT_REPLACE = "42P16"
_TABLE = "{name} is a table, and gcore-etl keeps a view of that name: rename the table"


def replace_views(connection: Connection) -> None:
    """
    Create missing views, and replace those that differ from this release's.

    Raises DatabaseError if a user's view depends on one that has to be dropped; the caller must roll back.
    """
    if connection.dialect.name == "postgresql":
        _replace_on_postgres(connection)
    else:
        _replace_on_sqlite(connection)


def drop_views(connection: Connection, names: Sequence[str]) -> None:
    """Drop these views. On Postgres, raises DatabaseError if objects of users depend on them."""
    if connection.dialect.name == "postgresql":
        _drop(connection, names, "downgrade")
        return
    for name in reversed(names):
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")


def refuse_name_conflicts(connection: Connection, names: Sequence[str]) -> None:
    """Raise DatabaseError if a user already has a view with the name of a new view of ours."""
    found = sorted({name.lower() for name in inspect(connection).get_view_names()}.intersection(names))
    if found:
        raise DatabaseError(
            f"{', '.join(found)} is a view of yours, and this gcore-etl has one of that name: nothing was "
            "changed; rename yours, and run gcore-etl db upgrade"
        )


def _replace_on_sqlite(connection: Connection) -> None:
    rows = connection.exec_driver_sql(
        "SELECT lower(name), type, sql FROM sqlite_master WHERE type IN ('table', 'view')"
    )
    stored = {name: (kind, sql) for name, kind, sql in rows}
    for name in views.NAMES:
        kind, sql = stored.get(name, ("", ""))
        if kind == "table":
            raise ForeignTablesError(_TABLE.format(name=name))
        statement = f"CREATE VIEW {name} AS\n{views.definition(name, 'sqlite')}".rstrip()
        if sql.rstrip() == statement:
            continue
        triggers = connection.scalars(
            text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND lower(tbl_name) = :name"),
            {"name": name},
        ).all()
        for each in (f"DROP VIEW IF EXISTS {name}", statement, *triggers):
            connection.exec_driver_sql(each)


def _replace_on_postgres(connection: Connection) -> None:
    dropped: dict[str, Sequence[Row[Any]]] = {}
    for name in views.NAMES:
        before = _view(connection, name)
        if not before.is_view:
            raise ForeignTablesError(_TABLE.format(name=name))
        if not _create(connection, name, before.options):
            names = [name, *_own_dependents(connection, name)]
            dropped |= {each: _settings_of(connection, each) for each in names}
            _drop(connection, names, "upgrade")
            _create(connection, name)
        if name in dropped:
            _restore(connection, name, dropped[name])
        if _view(connection, name).definition != before.definition:
            comment = views.comment_of(name).replace("'", "''")
            _run(connection, f"COMMENT ON VIEW {name} IS '{comment}'")


def _create(connection: Connection, name: str, options: str = "") -> bool:
    """Create or replace a view; return False if the existing one has to be dropped first."""
    query = views.definition(name, "postgresql")
    try:
        with connection.begin_nested():
            _run(connection, f"CREATE OR REPLACE VIEW {name} {options} AS\n{query}")
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) != _CANNOT_REPLACE:
            raise
        return False
    return True


def _drop(connection: Connection, names: Sequence[str], command: str) -> None:
    others = _users_dependents(connection, names)
    if others:
        raise DatabaseError(
            f"{' and '.join(others)}, which this {command} has to drop: nothing was changed; "
            f"drop what depends on it, run gcore-etl db {command}, and create it again"
        )
    if names:
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {', '.join(names)}")


def _users_dependents(connection: Connection, names: Sequence[str]) -> list[str]:
    """Return descriptions of users' objects that depend on these views and would be dropped with them."""
    query = """
        WITH ours AS (SELECT c.oid, c.relname, c.reltype, t.typarray FROM pg_class c
                      JOIN pg_type t ON t.oid = c.reltype
                      WHERE c.relname = ANY(%(names)s) AND pg_table_is_visible(c.oid))
        SELECT 'the ' || pg_describe_object('pg_class'::regclass, c.oid, 0) || ' of role '
                || pg_get_userbyid(c.relowner) || ' depends on ' || ours.relname
        FROM ours
        JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = ours.oid
        JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
        JOIN pg_class c ON c.oid = r.ev_class
        WHERE c.oid NOT IN (SELECT oid FROM ours)
        UNION
        SELECT pg_describe_object(d.classid, d.objid, d.objsubid) || ' depends on ' || ours.relname
        FROM ours
        JOIN pg_depend d ON d.deptype = 'n' AND d.classid <> 'pg_rewrite'::regclass AND (
            d.refclassid = 'pg_class'::regclass AND d.refobjid = ours.oid
            OR d.refclassid = 'pg_type'::regclass AND d.refobjid IN (ours.reltype, ours.typarray))
        ORDER BY 1
    """
    return list(connection.exec_driver_sql(query, {"names": list(names)}).scalars())


def _own_dependents(connection: Connection, name: str) -> list[str]:
    """Return those of our views that depend on this one, directly or not."""
    query = """
        WITH RECURSIVE dependents (oid) AS (
            SELECT to_regclass(%(name)s)::oid
            UNION
            SELECT r.ev_class FROM dependents
            JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = dependents.oid
            JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
        )
        SELECT c.relname FROM dependents JOIN pg_class c USING (oid) WHERE pg_table_is_visible(c.oid)
    """
    found = set(connection.exec_driver_sql(query, {"name": name}).scalars())
    return [each for each in views.NAMES if each in found and each != name]


def _settings_of(connection: Connection, name: str) -> Sequence[Row[Any]]:
    """
    Return the statements that restore what users may have set on a view, in the order to run them.

    Each has the column that it needs, if any, and the role that it grants a privilege to, if any.
    """
    query = """
        WITH ours AS (SELECT * FROM pg_class WHERE oid = to_regclass(%(name)s)),
        columns AS (SELECT a.* FROM ours JOIN pg_attribute a ON attrelid = ours.oid),
        grants AS (
            SELECT NULL AS attname, (aclexplode(relacl)).* FROM ours
            UNION ALL
            SELECT attname, (aclexplode(attacl)).* FROM columns
        )
        SELECT 1, attname AS column, role AS grantee,
               format('GRANT %%s %%s ON %%s TO %%s %%s', privilege_type, '(' || quote_ident(attname) || ')',
                      %(name)s, role, CASE WHEN is_grantable THEN 'WITH GRANT OPTION' END) AS statement
        FROM grants, coalesce(nullif(grantee::regrole::text, '-'), 'PUBLIC') AS role
        WHERE grantee <> (SELECT relowner FROM ours)
        UNION ALL
        SELECT 2, attname, NULL, format('COMMENT ON COLUMN %%s.%%I IS %%L', %(name)s, attname, description)
        FROM columns JOIN pg_description
          ON objoid = attrelid AND objsubid = attnum AND classoid = 'pg_class'::regclass
        UNION ALL
        SELECT 3, NULL, NULL, format('ALTER VIEW %%s SET (%%s)', %(name)s, array_to_string(reloptions, ', '))
        FROM ours WHERE reloptions <> '{}'
        UNION ALL
        SELECT 4, NULL, NULL, format('ALTER VIEW %%s OWNER TO %%s', %(name)s, relowner::regrole)
        FROM ours WHERE pg_get_userbyid(relowner) <> current_user
        ORDER BY 1
    """
    return connection.exec_driver_sql(query, {"name": name}).all()


def _restore(connection: Connection, name: str, settings: Sequence[Row[Any]]) -> None:
    """Restore the settings of the old view on the new one, replacing default privileges."""
    columns = connection.exec_driver_sql(f"SELECT * FROM {name} LIMIT 0").keys()
    for grantee in {each.grantee for each in _settings_of(connection, name)} - {None}:
        _run(connection, f"REVOKE ALL ON {name} FROM {grantee}")
    for each in settings:
        if each.column is None or each.column in columns:
            _run(connection, each.statement)


def _run(connection: Connection, statement: str) -> None:
    """Run a statement as it is: a % in it is no placeholder."""
    connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def _view(connection: Connection, name: str) -> Row[Any]:
    """Return the facts about the relation of that name; if there is none, those of a view without any."""
    query = """
        SELECT coalesce(relkind = 'v', true) AS is_view,
               -- The WITH clause, for example of security_invoker.
               coalesce('WITH (' || nullif(array_to_string(reloptions, ', '), '') || ')', '') AS options,
               pg_get_viewdef(c.oid) AS definition
        FROM (VALUES (1)) AS one LEFT JOIN pg_class c ON c.oid = to_regclass(%(name)s)
    """
    return connection.exec_driver_sql(query, {"name": name}).one()
