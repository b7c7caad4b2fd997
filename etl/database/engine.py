"""A URL becomes an engine: of a SQLite file, see `etl.database.sqlite`, or of Postgres, see `.postgres`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from etl.database.postgres import POSTGRES_EXAMPLE, open_postgres
from etl.database.sqlite import open_sqlite, parse_path
from etl.errors import ConfigurationError
from etl.secret import register_password

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

_EXAMPLES = f"sqlite:///gcore_tasks.db or {POSTGRES_EXAMPLE}"


def open_engine(url: str, *, read_only: bool = False) -> Engine:
    """
    Prepare an engine for `url`; nothing is sent before its first connection, but a file is looked for.

    Raises ConfigurationError for a URL that cannot work, which is never repeated, as it may hold a password,
    DatabaseError where there is no place for the SQLite file, and NoTablesError, with `read_only`, where
    there is no file.
    """
    register_password(url)
    path = file_of(url)
    if path is not None:
        return open_sqlite(path, read_only=read_only)
    try:
        parsed = make_url(url.strip())
    except (ArgumentError, ValueError):
        raise ConfigurationError(f"the database URL is not one: write {_EXAMPLES}") from None
    if parsed.get_backend_name() in {"postgres", "postgresql"}:
        return open_postgres(parsed, url, read_only=read_only)
    if parsed.get_backend_name() == "sqlite":
        raise ConfigurationError(f"the database URL names no file: write {_EXAMPLES}")
    raise ConfigurationError(f"{parsed.drivername} databases are not supported: write {_EXAMPLES}")


def file_of(url: str) -> Path | None:
    """Return the path of the file that a URL of SQLite names; None for any other URL."""
    sqlite = re.fullmatch(r"sqlite(?:\+pysqlite)?:///(.+)", url.strip(), re.DOTALL)
    return None if sqlite is None else parse_path(sqlite[1])


def describe(engine: Engine) -> str:
    """Name the database for a human, without its password or options."""
    url = engine.url
    if engine.dialect.name == "sqlite":
        return str(url.database)
    return URL.create(
        "postgresql", username=url.username, host=url.host, port=url.port, database=url.database
    ).render_as_string()
