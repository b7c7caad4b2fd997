"""Datasette for one SQLite file, with plugins for links and full-text search."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn
from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database, QueryInterrupted, connections
from datasette.plugins import pm
from datasette.utils import tilde_encode
from datasette.views.base import DatasetteError
from markupsafe import Markup

from etl.database import open_engine, reading
from etl.database.sqlite import connect_sqlite
from etl.database.sqlite_files import may_stay_open, refuse_changed
from etl.errors import ConfigurationError, DatabaseError
from etl.explore.site import site
from etl.explore.task_pages import TaskPages
from etl.host_guard import HostGuard
from etl.json_output import to_json
from etl.search import search
from etl.search.query import as_fts5, parse_query

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable
    from types import FrameType

_SETTINGS = {
    # Views over a million tasks take seconds.
    "sql_time_limit_ms": 30_000,
    "facet_time_limit_ms": 30_000,
    "suggest_facets": False,
    "allow_download": False,
}
_TEMPLATES = Path(__file__).with_name("templates")
_MAX_HITS = 50
_NO_WORD = '""'  # an FTS5 query without hits


def explorer(database_url: str) -> Datasette:
    """
    Return a Datasette for a SQLite database; its `app()` is an ASGI application.

    It is read-only, and a sync can run at the same time. Raises ConfigurationError for a URL of another
    database system, DatabaseError if there is no database or one that this release cannot read.
    """
    engine = open_engine(database_url, read_only=True)
    if engine.dialect.name != "sqlite":
        raise ConfigurationError(
            "explore needs a SQLite database; for Postgres, see docs/grafana.md and docs/metabase.md"
        )
    with reading(database_url):
        datasette = Datasette(settings=_SETTINGS, template_dir=str(_TEMPLATES))
    # Otherwise every invalid query prints a traceback with all local variables to the terminal.
    pm.get_plugin("datasette.handle_exception").rich = None
    datasette.remove_database("_memory")
    copy = datasette.add_database(_Copy(datasette, str(engine.url.database)))
    pm.register(_CopyPlugin(copy.name, database_url))
    pm.register(TaskPages(copy.name))
    return datasette


def serve(
    datasette: Datasette, listener: socket.socket, *, host: str | None = None, allowed: Iterable[str] = ()
) -> None:
    """
    Serve until a signal arrives, which interrupts the running queries; then close the file.

    Requests are answered if they are for the address and port of the listener, for `host`, or for one of the
    `allowed` names.
    """
    address, port, *_ = listener.getsockname()
    guarded = HostGuard(datasette.app(), host=host or address, address=address, port=port, allowed=allowed)
    # h11 exposes a host in the request line, and websockets would bypass the guard.
    config = uvicorn.Config(
        guarded, lifespan="on", http="h11", ws="none", log_config=None, log_level="warning"
    )
    copies = [each for each in datasette.databases.values() if isinstance(each, _Copy)]

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            # uvicorn waits for the current responses, which a query could delay for long.
            for copy in copies:
                copy.interrupt()
            super().handle_exit(sig, frame)

    try:
        Server(config).run(sockets=[listener])
    finally:
        for copy in copies:
            copy.close()


class _Copy(Database):  # type: ignore[misc]
    """
    A database opened as in the rest of the package: under any file name, and without leaving files beside it.

    Only the owner's connections stay open between two reads. Those of other users would prevent a sync from
    truncating its WAL, or would always show the file as it was when they were opened.
    """

    _is_stopping = False

    def __init__(self, datasette: Datasette, path: str) -> None:
        super().__init__(datasette, path)
        self._open: set[sqlite3.Connection] = set()
        self._guard = threading.Lock()

    def connect(self, write: bool = False) -> sqlite3.Connection:  # noqa: ARG002, FBT001, FBT002
        """Open the file for reading."""
        try:
            connection = connect_sqlite(Path(self.path), read_only=True)
        except DatabaseError as error:
            raise DatasetteError(str(error), status=503) from error
        with self._guard:
            self._open.add(connection)
        return connection

    async def execute_fn(self, fn: Callable[[sqlite3.Connection], Any]) -> Any:  # noqa: ANN401
        """Run a function that reads, unless the server is stopping."""

        def read(connection: sqlite3.Connection) -> Any:  # noqa: ANN401
            try:
                if not self._is_stopping:
                    found = fn(connection)
                    refuse_changed(connection, Path(self.path))
                    return found
            except DatabaseError as error:
                raise DatasetteError(str(error), status=503) from error
            except (sqlite3.OperationalError, QueryInterrupted):
                if not self._is_stopping:
                    raise
            finally:
                if not may_stay_open(connection):
                    # Datasette keeps it for this thread.
                    delattr(connections, self.name)
                    with self._guard:
                        self._open.discard(connection)
                        connection.close()
            raise DatasetteError("The server is stopping.", status=503)

        return await super().execute_fn(read)

    def interrupt(self) -> None:
        """Interrupt the running queries, and refuse new ones."""
        self._is_stopping = True
        with self._guard:
            for connection in self._open:
                connection.interrupt()

    def close(self) -> None:
        """Interrupt the running queries and close the file, so that SQLite removes its files beside it."""
        self.interrupt()
        self.ds.executor.shutdown(cancel_futures=True)
        for connection in self._open:
            connection.close()


class _CopyPlugin:
    """A Datasette plugin for the metadata, the search and the links to tasks."""

    def __init__(self, database: str, database_url: str) -> None:
        self.__name__ = "gcore_etl"
        self._database, self._database_url = database, database_url

    @hookimpl
    def get_metadata(self) -> dict[str, Any]:
        """Return the descriptions of tables and views, and the saved queries."""
        return site(self._database)

    @hookimpl(trylast=True)
    def prepare_connection(self, conn: sqlite3.Connection, database: str) -> None:
        """Tokenize search text as the index does. It runs last, because it replaces a Datasette function."""
        if database == self._database:
            conn.create_function("escape_fts", 1, _as_fts5, deterministic=True)
            conn.create_function("search_transcripts", 1, self._search)

    @hookimpl
    def render_cell(
        self, value: object, column: str, table: str | None, datasette: Datasette
    ) -> Markup | None:
        """Show a task id as a link to the task."""
        if column != "task_id" or table == "tasks" or not isinstance(value, str):
            return None
        row = datasette.urls.row(self._database, "tasks", tilde_encode(value))
        return Markup('<a href="{}">{}</a>').format(row, value)

    def _search(self, text: object) -> str:
        with reading(self._database_url) as connection:
            hits = search(connection, _as_text(text), limit=_MAX_HITS)
        return to_json(hits)


def _as_fts5(text: object) -> str:
    return as_fts5(parse_query(_as_text(text))) or _NO_WORD


def _as_text(value: object) -> str:
    """Return an SQL value, which may have another type, as text."""
    return "" if value is None else str(value)
