"""Engines and read-only connections from a URL of SQLite or Postgres."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from etl.database.driver_errors import database_errors
from etl.database.postgres import POSTGRES_EXAMPLE, open_postgres
from etl.database.privileges import explain_missing_privileges
from etl.database.schema import ensure_schema
from etl.database.sqlite import open_sqlite, parse_path
from etl.errors import ConfigurationError
from etl.secret import register_password

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

_EXAMPLES = f"sqlite:///gcore_tasks.db or {POSTGRES_EXAMPLE}"


def open_engine(url: str, *, read_only: bool = False) -> Engine:
    """
    Return an engine for `url`, without connecting.

    Raises ConfigurationError for a URL that cannot work; the message does not quote it, as it may hold a
    password. Raises DatabaseError if the folder of a SQLite file does not exist or cannot be reached, and
    NoTablesError if `read_only` and the file does not exist.
    """
    register_password(url)
    path = file_of(url)
    if path is not None:
        return open_sqlite(path, read_only=read_only)
    try:
        parsed = make_url(url.strip())
    except (ArgumentError, ValueError):
        raise ConfigurationError(f"the database URL is malformed: write {_EXAMPLES}") from None
    if parsed.get_backend_name() in {"postgres", "postgresql"}:
        return open_postgres(parsed, url, read_only=read_only)
    if parsed.get_backend_name() == "sqlite":
        raise ConfigurationError(f"the database URL names no file: write {_EXAMPLES}")
    raise ConfigurationError(f"{parsed.drivername} databases are not supported: write {_EXAMPLES}")


def file_of(url: str, folder: Path = Path()) -> Path | None:
    """
    Return the path of the file if it is a SQLite URL, else None. A relative path starts in `folder`.

    Raises ConfigurationError if it is a SQLite URL without a usable path.
    """
    sqlite = re.fullmatch(r"sqlite(?:\+pysqlite)?:///(.+)", url.strip(), re.DOTALL)
    return None if sqlite is None else (folder / parse_path(sqlite[1])).absolute()


def sqlite_url(path: Path) -> str:
    """Return the URL of a SQLite file, which `file_of` turns into this path again."""
    return f"sqlite:///{quote(os.fsencode(path))}"


def describe(engine: Engine) -> str:
    """Return a display name of the database, without its password and options."""
    url = engine.url
    if engine.dialect.name == "sqlite":
        return str(url.database)
    return URL.create(
        "postgresql", username=url.username, host=url.host, port=url.port, database=url.database
    ).render_as_string()


@contextlib.contextmanager
def connected(url: str) -> Iterator[Connection]:
    """
    Yield a read-only connection, which takes no lock, writes nothing, and does not block a sync.

    It is not yet in a transaction. Raises DatabaseError if it cannot connect.
    """
    with database_errors():
        engine = open_engine(url, read_only=True)
        try:
            with engine.connect() as connection, explain_missing_privileges(connection):
                yield connection
        finally:
            engine.dispose()


@contextlib.contextmanager
def reading(url: str, *, any_schema: bool = False) -> Iterator[Connection]:
    """
    Yield a connection in one read-only transaction, so that all reads see one snapshot.

    Raises DatabaseError if there is no database, or if its schema is not this release's and not `any_schema`.
    """
    with connected(url) as connection, connection.begin():
        if not any_schema:
            ensure_schema(connection, migrate=False)
        yield connection
