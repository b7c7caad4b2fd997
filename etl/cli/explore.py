"""`gcore-etl explore`: the copy in a browser, to look around in."""

from __future__ import annotations

import errno
import importlib
import socket
import webbrowser
from typing import TYPE_CHECKING

import click

from etl.cli.console import note
from etl.cli.hosts import allow_host_option, host_option, warn_if_public
from etl.cli.settings import database_option, load_settings
from etl.cli.signals import interruptible
from etl.errors import Interrupted

if TYPE_CHECKING:
    from types import ModuleType


class ExplorerUnavailable(click.ClickException):
    """It cannot be served here until something is installed or freed."""

    exit_code = 3


@click.command()
@host_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8001,
    show_default=True,
    help="Port to listen on; 0 for any free one.",
)
@click.option("--open/--no-open", "is_opened", default=True, help="Open a browser.  [default: open]")
@allow_host_option
@database_option
@click.pass_context
def explore(  # noqa: PLR0913
    context: click.Context,
    /,
    *,
    host: str,
    port: int,
    is_opened: bool,
    allowed: tuple[str, ...],
    database_url: str | None,
) -> None:
    """
    Look around in a copy on SQLite, in a browser, until stopped (Ctrl-C or SIGTERM).

    Datasette shows tables and views with facets, answers the questions of docs/queries.md and your own in
    SQL, and finds what was said in the videos. It reads only; syncs may run meanwhile. It answers only to the
    address it listens on, localhost, 127.0.0.1 and [::1], so that no web page can read the copy.
    """
    exploring = _import("etl.explore")
    datasette = exploring.explorer(load_settings(database_url=database_url).database_url)
    try:
        with interruptible(), _listen(host, port) as listener:
            shown = f"[{host}]" if listener.family == socket.AF_INET6 else host
            address, number, *_ = listener.getsockname()
            url = f"http://{shown}:{number}/"
            note(f"The copy is at {url}; Ctrl-C ends it.")
            warn_if_public(address, "the copy")
            if is_opened:
                webbrowser.open(url)  # it waits in the queue until it is served
            exploring.serve(datasette, listener, host=host, allowed=allowed)
    except Interrupted as stop:
        context.exit(stop.exit_code)


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in {"datasette", "uvicorn"}:
            raise
        raise ExplorerUnavailable(
            f"exploring needs {error.name}: pip install 'gcore-ai-tasks-etl[explore]'"
        ) from None


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as refused:
        is_port = getattr(refused, "errno", None) in {errno.EADDRINUSE, errno.EACCES}
        raise ExplorerUnavailable(
            f"cannot listen on {host}, port {port}: {getattr(refused, 'strerror', None) or refused}; "
            f"choose another {'--port' if is_port else '--host'}"
        ) from None
