"""Temporary roles of a Postgres server, and statements executed by its superuser."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING

import psycopg
from psycopg.sql import SQL, Identifier, Literal
from sqlalchemy import make_url

if TYPE_CHECKING:
    from collections.abc import Iterator

# For servers that require one.
_PASSWORD = "only-for-a-test"


def as_superuser(database_url: str, *statements: str, role: str = "") -> None:
    """Execute statements in one transaction; `{role}` in them stands for the quoted name of a role."""
    with psycopg.connect(database_url) as connection:
        name = SQL("").join([Identifier(role)]).as_string(connection) if role else ""
        for statement in statements:
            connection.execute(statement.replace("{role}", name).encode())


@contextlib.contextmanager
def a_role(database_url: str, *statements: str, name: str | None = None, can: str = "LOGIN") -> Iterator[str]:
    """
    Yield the URL of the same database for a new role, after the superuser has executed these statements.

    The role owns nothing and has no grants; `can` are options of CREATE ROLE.
    """
    name = f"{name or 'etl'}_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            SQL("CREATE ROLE {} {} PASSWORD {}").format(Identifier(name), SQL(can), Literal(_PASSWORD))
        )
    try:
        as_superuser(database_url, *statements, role=name)
        yield (
            make_url(database_url)
            .set(username=name, password=_PASSWORD)
            .render_as_string(hide_password=False)
        )
    finally:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [name]
            )
            connection.execute(SQL("DROP OWNED BY {} CASCADE").format(Identifier(name)))
            connection.execute(SQL("DROP ROLE {}").format(Identifier(name)))


def role_of(database_url: str) -> str:
    """Return the role of a URL."""
    return make_url(database_url).username or ""
