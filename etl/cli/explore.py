"""`gcore-etl explore`: browse a SQLite database in Datasette."""

from __future__ import annotations

import socket
import webbrowser

import click

from etl.cli.console import print_note
from etl.cli.extras import import_extra
from etl.cli.hosts import explain_bind_error, server_options, until_stopped, warn_if_public
from etl.cli.options import database_option


@click.command()
@server_options(8001)
@click.option("--open/--no-open", "is_opened", default=True, help="Open the page in a browser.")
@database_option
def explore(*, host: str, port: int, is_opened: bool, allowed: tuple[str, ...], database_url: str) -> None:
    """
    Browse a SQLite database in a web browser, until stopped (Ctrl-C or SIGTERM).

    Datasette shows tables and views with facets, runs the queries of docs/queries.md and your own SQL, and
    searches the transcripts. It is read-only, and syncs can run at the same time.

    By default it only answers requests for localhost, 127.0.0.1 and [::1], so that web pages of other sites
    cannot read the database. --allow-host adds a name.
    """
    exploring = import_extra("etl.explore", feature="explore", extra="explore")
    datasette = exploring.explorer(database_url)
    with until_stopped(), _listen(host, port) as listener:
        shown = f"[{host}]" if listener.family == socket.AF_INET6 else host
        address, number, *_ = listener.getsockname()
        url = f"http://{shown}:{number}/"
        print_note(f"Datasette is running at {url}; press Ctrl-C to stop.")
        warn_if_public(address, "Datasette")
        if is_opened:
            webbrowser.open(url)  # the request waits in the queue until the server runs
        exploring.serve(datasette, listener, host=host, allowed=allowed)


def _listen(host: str, port: int) -> socket.socket:
    with explain_bind_error(host, port):
        family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server((host, port), family=family)
