"""Runs one sync, from settings to summary; the entry point for the command line and Python callers."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from etl.database import database_errors, ensure_schema, file_of, open_engine, sqlite_url
from etl.database.cancel import cancelled_on_stop
from etl.database.privileges import catch_up_sequences, explain_missing_privileges, require_sync_privileges
from etl.database.session_settings import pinned_session
from etl.errors import DatabaseError, NoTablesError
from etl.extract.client import Client
from etl.extract.retry import Backoff
from etl.files import NO_TEMPORARY_FOLDER, find_temporary_folder
from etl.stop import Stop, stop_of_run
from etl.sync.advisory_lock import locked_session
from etl.sync.file_lock import file_lock
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
    stop: Stop | None = None,
    deadline: float | None = None,
    backoff: Backoff | None = None,
) -> RunSummary:
    """
    Copy the tasks that changed since the last sync into the database, and return a summary of the run.

    With `wait`, wait for another sync to finish instead of raising SyncRunning; with `migrate`, upgrade an
    older schema instead of raising SchemaOutdatedError. Pass a `summary` to see, after a failure, how far the
    run got. `backoff` determines the waits between retries of failed requests.

    The run ends within two seconds if any thread sets `stop` (raises Interrupted), or at the `deadline` on
    the monotonic clock (raises TimedOut). Data loaded until then is kept, and the next run continues from
    there.
    """
    options = options or SyncOptions()
    summary = summary or RunSummary()
    with contextlib.ExitStack() as stack:
        own_stop = stack.enter_context(stop_of_run(stop, deadline))
        client = stack.enter_context(make_client(settings, stop=own_stop, backoff=backoff))
        if options.dry_run:
            connection = stack.enter_context(comparing(settings.database_url))
        else:
            connection = stack.enter_context(writing(settings.database_url, wait=wait, stop=own_stop))
            with cancelled_on_stop(connection, own_stop), connection.begin():
                ensure_writable(connection, migrate=migrate)
        return Run(connection, client, settings, options, observe=observe, summary=summary).execute()


def ensure_writable(connection: sa.Connection, *, migrate: bool) -> None:
    """
    Check, inside the caller's transaction, that a sync can write to this database; upgrade its schema.

    Raises DatabaseError with the reason if it cannot: a schema of another release, a missing privilege.
    """
    ensure_schema(connection, migrate=migrate)
    require_sync_privileges(connection)
    catch_up_sequences(connection)


def make_client(settings: Settings, *, stop: Stop | None = None, backoff: Backoff | None = None) -> Client:
    """Return a client for the account in the settings. Raises ConfigurationError if there is no key."""
    return Client(
        settings.require_api_key(),
        settings.base_url,
        concurrency=settings.concurrency,
        retry_for=settings.retry_for,
        max_rate=settings.max_rate,
        backoff=backoff or Backoff(),
        stop=stop,
    )


@contextlib.contextmanager
def writing(database_url: str, *, wait: bool = False, stop: Stop | None = None) -> Iterator[sa.Connection]:
    """
    Yield the only connection that may write to this database; the block's end releases lock and connection.

    On SQLite, the lock is on a file next to the database; on Postgres, the connection's session holds it.
    Raises SyncRunning if another process holds the lock; with `wait`, waits for it until `stop` is set.
    """
    stop = stop or Stop()
    with database_errors(), contextlib.ExitStack() as stack:
        engine = open_engine(database_url)
        stack.callback(engine.dispose)
        if engine.dialect.name == "sqlite":
            stack.enter_context(file_lock(Path(engine.url.database or ""), wait=wait, stop=stop))
        connection = stack.enter_context(engine.connect())
        if engine.dialect.name == "postgresql":
            stack.enter_context(locked_session(connection, wait=wait, stop=stop))
        stack.enter_context(explain_missing_privileges(connection, is_writer=True))
        yield connection


@contextlib.contextmanager
def comparing(database_url: str) -> Iterator[sa.Connection]:
    """
    Yield a connection for a dry run, which stores nothing; it may create temporary tables.

    If there are no tables yet, the connection is to an empty database in a temporary folder.
    """
    with database_errors(), contextlib.ExitStack() as stack:
        try:
            yield stack.enter_context(_existing(database_url))
        except NoTablesError:
            folder = stack.enter_context(_temporary_folder(database_url))
            connection = stack.enter_context(writing(sqlite_url(Path(folder) / "empty.db")))
            with connection.begin():
                ensure_schema(connection)
            yield connection


@contextlib.contextmanager
def _temporary_folder(database_url: str) -> Iterator[str]:
    """Yield a folder that is deleted afterwards, in the system's temporary folder or the database's."""
    database = file_of(database_url)
    if find_temporary_folder(*([] if database is None else [database.parent])) is None:
        raise DatabaseError(NO_TEMPORARY_FOLDER)
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="gcore-etl-"))
        except OSError as error:
            raise DatabaseError(f"cannot create a temporary folder: {error.strerror}: set TMPDIR") from error
        yield folder


@contextlib.contextmanager
def _existing(database_url: str) -> Iterator[sa.Connection]:
    # Postgres does not allow temporary tables in a read-only session.
    engine = open_engine(database_url, read_only=file_of(database_url) is not None)
    with contextlib.ExitStack() as stack:
        stack.callback(engine.dispose)
        connection = stack.enter_context(engine.connect())
        stack.enter_context(explain_missing_privileges(connection, is_writer=True))
        with connection.begin():
            ensure_schema(connection, migrate=False)
        stack.enter_context(pinned_session(connection))
        yield connection
