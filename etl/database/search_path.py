"""
The one schema of a Postgres database in which the copy is, or is to be made.

A search path may name several schemas. Postgres would look a table up in all of them and create one in the
first, so that a copy could end up spread over two, or two roles could share tables under different locks.
Here the path decides once, in each session, and every statement then runs in that schema alone.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

import sqlalchemy as sa

from etl.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import Connection

# Tables that every revision of the schema has; other programs may have one of these names, but not all three.
_HALLMARKS = ("alembic_version", "task_history", "tasks")
# A name in quotes, in which a quote is doubled, or one without.
_ENTRY = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^\s",]+))\s*(?:,|$)')
_USER = "$user"

_SESSION = sa.text(
    "SELECT current_setting('search_path') AS path, current_user AS role,"
    " current_setting('server_encoding') AS encoding"
)
_SCHEMAS = sa.text(
    "SELECT nspname AS name, has_schema_privilege(oid, 'USAGE') AS may_use,"
    " has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE') AS may_create,"
    f" {len(_HALLMARKS)} = (SELECT count(*) FROM pg_catalog.pg_class WHERE relnamespace = pg_namespace.oid"
    " AND relkind IN ('r', 'p') AND relname IN :hallmarks) AS has_copy"
    " FROM pg_catalog.pg_namespace WHERE nspname IN :names"
).bindparams(
    sa.bindparam("names", expanding=True, type_=sa.Text),
    sa.bindparam("hallmarks", expanding=True, type_=sa.Text),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """A schema of the search path; `is_own` where the path says `$user`, and not its name."""

    name: str
    is_own: bool = False
    may_use: bool = True
    may_create: bool = True
    has_copy: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where a session looks for the copy: the schemas of its search path that exist, in order."""

    role: str
    path: str
    encoding: str
    schemas: tuple[Schema, ...]

    @property
    def schema(self) -> Schema | None:
        """
        Return the schema of the copy, None where there is none and none can be made.

        It is the first that holds a copy or in which the role may create one. A schema of the role's own name
        usually exists for other reasons: unless the path names it, a copy further down comes before it.
        """
        for number, schema in enumerate(self.schemas):
            is_for_others = schema.is_own and any(other.has_copy for other in self.schemas[number + 1 :])
            if schema.has_copy or (schema.may_create and not is_for_others):
                return schema
        return None

    def is_settled(self, *, for_writer: bool) -> bool:
        """Return whether the schema of the copy is known for good, as far as this session is concerned."""
        return self.schema is not None and (for_writer or self.schema.has_copy)

    @property
    def unused(self) -> list[str]:
        """Return the other schemas of the path that hold a copy."""
        used = self.schema
        names = [each.name for each in self.schemas if each.has_copy and used and each.name != used.name]
        return list(dict.fromkeys(names))

    def require_schema(self) -> Schema:
        """Return the schema of the copy. Raises DatabaseError with the statement that would allow one."""
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
        """Raise DatabaseError where nothing in this database could be read or stored as it is."""
        if self.encoding != "UTF8":
            raise DatabaseError(
                f"the database's encoding is {self.encoding}, which cannot hold every character: "
                "use one made with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
            )
        if self.schema is not None and not self.schema.may_use:
            name = quoted(self.schema.name)
            raise DatabaseError(
                f"role {self.role} may not use schema {self.schema.name}, which holds the copy: run "
                f"GRANT USAGE ON SCHEMA {name} TO {quoted(self.role)}"
            )


def locate(connection: Connection) -> Location:
    """Return where this session looks for the copy, whatever set its search path."""
    session = connection.execute(_SESSION).one()
    entries = list(_iter_entries(session.path, session.role))
    names = [name for name, _ in entries]
    rows = connection.execute(_SCHEMAS, {"names": names, "hallmarks": list(_HALLMARKS)}).mappings()
    found = {row["name"]: Schema(**row) for row in rows}
    return Location(
        role=session.role,
        path=session.path,
        encoding=session.encoding,
        schemas=tuple(
            dataclasses.replace(found[name], is_own=is_own) for name, is_own in entries if name in found
        ),
    )


def refuse_spread(connection: Connection, location: Location, missing: Iterable[str]) -> None:
    """
    Raise DatabaseError where tables that the copy lacks are in other schemas of the search path.

    Releases that created each table in the first schema, whatever held the others, spread a copy like this.
    """
    statement = sa.text(
        "SELECT relname, nspname FROM pg_catalog.pg_class"
        " JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace"
        " WHERE relname IN :relations AND nspname IN :schemas AND relkind IN ('r', 'p') ORDER BY 1"
    ).bindparams(
        sa.bindparam("relations", expanding=True, type_=sa.Text),
        sa.bindparam("schemas", expanding=True, type_=sa.Text),
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
    """Return an identifier as SQL writes it, in quotes where it needs them."""
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - takes long to load

    # In the default style of its parameters it would double each %.
    dialect: sa.Dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    return dialect.identifier_preparer.quote(name)


def _iter_entries(path: str, role: str) -> Iterator[tuple[str, bool]]:
    """Return the schemas that a path names, in order, and whether it says `$user` for one."""
    for inside, bare in _ENTRY.findall(path):
        # Postgres folds ASCII only, and leaves the rest as it is.
        name = inside.replace('""', '"') or re.sub("[A-Z]", lambda letter: letter[0].lower(), bare)
        is_own = name == _USER
        # Nobody's tables are in the system's schemas.
        if name and not name.startswith("pg_") and name != "information_schema":
            yield (role if is_own else name), is_own
