"""Options of the commands that listen on a port: the address, and the host names they answer to."""

from __future__ import annotations

import logging

import click

from etl.cli.params import HostName, ListenAddress
from etl.host_guard import is_public

logger = logging.getLogger(__name__)

host_option = click.option(
    "--host", type=ListenAddress(), default="127.0.0.1", show_default=True, help="Address to listen on."
)
allow_host_option = click.option(
    "--allow-host",
    "allowed",
    type=HostName(),
    multiple=True,
    help="Also accept this host name, for example behind a proxy. Can be repeated.",
)


def warn_if_public(address: str, what: str) -> None:
    """Log a warning if other machines can reach a server that listens on this address."""
    if is_public(address):
        logger.warning(
            "%s is open to everyone who can reach %s: use --host 127.0.0.1 to restrict it", what, address
        )
