"""
The Postgres schema that holds the copy, or that will hold it.

A search path may name several schemas. Postgres looks tables up in all of them and creates tables in the
first, so a copy could end up spread over two schemas, or two roles could share tables under different locks.
Therefore each session chooses one schema of the path, and every statement runs in that schema alone.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import sqlalchemy as sa

from etl.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

# Tables that exist in every revision. Another program may have one of these names, but not all three.
_CORE_TABLES = ("alembic_version", "task_history", "tasks")
# A quoted name, in which quotes are doubled, or an unquoted one, of which Postgres folds only ASCII letters.
_ENTRY = r'\s*(?:"((?:[^"]|"")*)"|([^\s",]+))\s*(?:,|$)'

_SESSION = sa.text(
    "SELECT current_setting('search_path') AS path, current_user AS role,"
    " current_setting('server_encoding') AS encoding"
)
# System schemas hold no tables of users.
_SCHEMAS = sa.text("""
    SELECT nspname AS name, entry = '$user' AS is_own, has_schema_privilege(oid, 'USAGE') AS may_use,
           has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE') AS may_create,
           (SELECT count(*) FROM pg_catalog.pg_class WHERE relnamespace = pg_namespace.oid
            AND relkind IN ('r', 'p') AND relname = ANY(:core_tables)) = cardinality(:core_tables) AS has_copy
    FROM regexp_matches(current_setting('search_path'), :entry, 'g') WITH ORDINALITY AS found (parts, number),
         coalesce(replace(parts[1], '""', '"'), lower(parts[2] COLLATE "C")) AS entry
    JOIN pg_catalog.pg_namespace ON nspname = CASE entry WHEN '$user' THEN current_user ELSE entry END
    WHERE left(entry, 3) <> 'pg_' AND entry <> 'information_schema'
    ORDER BY number
""")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """A schema of the search path; `is_own` if the path contains `$user` instead of its name."""

    name: str
    is_own: bool = False
    may_use: bool = True
    may_create: bool = True
    has_copy: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where a session looks for the copy: the existing schemas of its search path, in order."""

    role: str
    path: str
    encoding: str
    schemas: tuple[Schema, ...]

    @property
    def schema(self) -> Schema | None:
        """
        The schema of the copy; None if there is none and none can be created.

        It is the first one that holds a copy or in which the role may create one. A schema named by `$user`
        usually exists for other purposes, so a copy in a later schema takes precedence over it.
        """
        for number, schema in enumerate(self.schemas):
            is_superseded = schema.is_own and any(other.has_copy for other in self.schemas[number + 1 :])
            if schema.has_copy or (schema.may_create and not is_superseded):
                return schema
        return None

    @property
    def unused(self) -> list[str]:
        """The other schemas of the path that hold a copy."""
        used = self.schema
        names = [each.name for each in self.schemas if each.has_copy and used and each.name != used.name]
        return list(dict.fromkeys(names))

    def require_schema(self) -> Schema:
        """Return the schema of the copy. Raises DatabaseError with the statement to run if there is none."""
        if self.schema is not None:
            return self.schema
        role = quoted(self.role)
        if not self.schemas:
            raise DatabaseError(
                f"no schema of the search_path ({self.path}) exists: run CREATE SCHEMA, or set another one: "
                f"ALTER ROLE {role} SET search_path = …"
            )
        named = [each for each in self.schemas if not each.is_own] or self.schemas
        privileges = "CREATE" if named[0].may_use else "USAGE, CREATE"
        raise DatabaseError(
            f"role {self.role} may not create tables in schema {named[0].name}: run GRANT {privileges} ON "
            f"SCHEMA {quoted(named[0].name)} TO {role}, or set another search_path"
        )

    def refuse_unusable(self) -> None:
        """Raise DatabaseError for an encoding other than UTF8, or missing privileges on the schema."""
        if self.encoding != "UTF8":
            raise DatabaseError(
                f"the database's encoding is {self.encoding}, which cannot hold every character: "
                "create one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
            )
        if self.schema is not None and not self.schema.may_use:
            name = quoted(self.schema.name)
            raise DatabaseError(
                f"role {self.role} may not use schema {self.schema.name}, which holds the copy: run "
                f"GRANT USAGE ON SCHEMA {name} TO {quoted(self.role)}"
            )


def locate(connection: Connection) -> Location:
    """Return where this session looks for the copy, from its current search path."""
    session = connection.execute(_SESSION).one()
    rows = connection.execute(_SCHEMAS, {"entry": _ENTRY, "core_tables": list(_CORE_TABLES)}).mappings()
    return Location(
        role=session.role,
        path=session.path,
        encoding=session.encoding,
        schemas=tuple(Schema(**row) for row in rows),
    )


def refuse_spread(connection: Connection, location: Location, missing: Iterable[str]) -> None:
    """
    Raise DatabaseError if tables that the copy lacks are in other schemas of the search path.

    Older releases spread a copy like this: they created every new table in the first schema of the path.
    """
    statement = sa.text(
        "SELECT relname, nspname FROM pg_catalog.pg_class"
        " JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace"
        " WHERE relname = ANY(:relations) AND nspname = ANY(:schemas) AND relkind IN ('r', 'p') ORDER BY 1"
    )
    home = location.require_schema().name
    others = [each.name for each in location.schemas if each.name != home]
    rows = connection.execute(statement, {"relations": list(missing), "schemas": others})
    moves = [
        f"ALTER TABLE {quoted(schema)}.{table} SET SCHEMA {quoted(home)}"
        for table, schema in {row.relname: row.nspname for row in rows}.items()
    ]
    if moves:
        raise DatabaseError(
            f"the copy is spread over several schemas: run {'; '.join(moves)}; then run gcore-etl db upgrade"
        )


def quoted(name: str) -> str:
    """Return an identifier for use in SQL, quoted if necessary."""
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - slow to import

    # The default paramstyle would double each %.
    dialect: sa.Dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    return dialect.identifier_preparer.quote(name)
