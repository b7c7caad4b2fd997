"""The whole of one sync, from settings to summary: what the command line and Python callers run."""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import TYPE_CHECKING
from urllib.parse import quote

from etl.database import (
    catch_up_sequences,
    database_errors,
    ensure_schema,
    explain_missing_privileges,
    file_of,
    open_engine,
    pinned_session,
    require_sync_privileges,
)
from etl.errors import DatabaseError, NoTablesError
from etl.extract.client import Client
from etl.files import NO_TEMPORARY_FOLDER, find_temporary_folder
from etl.sync.lock import writer
from etl.sync.options import SyncOptions
from etl.sync.run import Run
from etl.sync.summary import RunSummary, ignore_progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

    from etl.settings import Settings
    from etl.sync.summary import Observer


def run_sync(  # noqa: PLR0913
    settings: Settings,
    options: SyncOptions | None = None,
    *,
    wait: bool = False,
    migrate: bool = True,
    observe: Observer = ignore_progress,
    summary: RunSummary | None = None,
) -> RunSummary:
    """
    Copy what changed at the source since the last sync.

    `wait` for another sync to end instead of raising SyncRunning; `migrate` an older schema first instead of
    raising SchemaOutdatedError. A `summary` that is passed in tells, after a failure, how far the run came.
    """
    options = options or SyncOptions()
    summary = summary or RunSummary()
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(make_client(settings))
        if options.dry_run:
            connection = stack.enter_context(comparing(settings.database_url))
        else:
            connection = stack.enter_context(writing(settings.database_url, wait=wait))
            with connection.begin():
                ensure_writable(connection, migrate=migrate)
        return Run(connection, client, settings, options, observe=observe, summary=summary).execute()


def ensure_writable(connection: sa.Connection, *, migrate: bool) -> None:
    """
    Make sure, inside the caller's transaction, that the database is one that a sync can write to.

    Raises DatabaseError that says why not: another schema than this release's, a missing privilege.
    """
    ensure_schema(connection, migrate=migrate)
    require_sync_privileges(connection)
    catch_up_sequences(connection)


def make_client(settings: Settings) -> Client:
    """Make a client of the account that the settings name. Raises ConfigurationError without a key."""
    return Client(
        settings.require_api_key(),
        settings.base_url,
        concurrency=settings.concurrency,
        retry_for=settings.retry_for,
        max_rate=settings.max_rate,
    )


@contextlib.contextmanager
def writing(database_url: str, *, wait: bool = False) -> Iterator[sa.Connection]:
    """Give the one connection that may write to this database, and let go of it all at the end."""
    with (
        database_errors(),
        _engine(database_url) as engine,
        writer(engine, wait=wait) as connection,
        explain_missing_privileges(connection, is_writer=True),
    ):
        yield connection


@contextlib.contextmanager
def comparing(database_url: str) -> Iterator[sa.Connection]:
    """
    Give a connection for a dry run, which stores nothing; it may make temporary tables.

    Where there are no tables yet, an empty database in a temporary folder stands in.
    """
    # Postgres makes no temporary table in a session that may only read.
    may_read_only = database_url.startswith("sqlite")
    with database_errors(), contextlib.ExitStack() as stack:
        try:
            yield stack.enter_context(_existing(database_url, read_only=may_read_only))
        except NoTablesError:
            folder = stack.enter_context(_temporary_folder(database_url))
            connection = stack.enter_context(writing(f"sqlite:///{quote(os.fsencode(folder))}/empty.db"))
            with connection.begin():
                ensure_schema(connection)
            yield connection


@contextlib.contextmanager
def _temporary_folder(database_url: str) -> Iterator[str]:
    """Yield a folder that is gone afterwards: the system's for such, or inside the database's."""
    database = file_of(database_url)
    if find_temporary_folder(*([] if database is None else [database.parent])) is None:
        raise DatabaseError(NO_TEMPORARY_FOLDER)
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="gcore-etl-"))
        except OSError as error:
            raise DatabaseError(f"cannot make a temporary folder: {error.strerror}: set TMPDIR") from error
        yield folder


@contextlib.contextmanager
def _existing(database_url: str, *, read_only: bool) -> Iterator[sa.Connection]:
    with (
        _engine(database_url, read_only=read_only) as engine,
        engine.connect() as connection,
        explain_missing_privileges(connection, is_writer=True),
    ):
        with connection.begin():
            ensure_schema(connection, migrate=False)
        with pinned_session(connection):
            yield connection


@contextlib.contextmanager
def _engine(database_url: str, *, read_only: bool = False) -> Iterator[sa.Engine]:
    engine = open_engine(database_url, read_only=read_only)
    try:
        yield engine
    finally:
        engine.dispose()
