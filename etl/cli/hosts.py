"""Under which names a server on this machine answers."""

from __future__ import annotations

import logging
from typing import Any

import click

from etl.host_guard import is_public, parse_host

logger = logging.getLogger(__name__)


class _HostName(click.ParamType[str]):
    """A host name, perhaps with a port."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        """Take it, or say how it is written."""
        try:
            parse_host(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return str(value)


def _read_host(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    host = value.removeprefix("[").removesuffix("]")
    if not host:
        raise click.UsageError("--host is empty: name an address, such as 127.0.0.1")
    return host


host_option = click.option(
    "--host", default="127.0.0.1", show_default=True, callback=_read_host, help="The address to listen on."
)
allow_host_option = click.option(
    "--allow-host",
    "allowed",
    type=_HostName(),
    multiple=True,
    help="Answer to this host name too, as behind a proxy; more than one may be named.",
)


def warn_if_public(address: str, what: str) -> None:
    """Warn that whoever reaches the address a server listens on reaches `what`."""
    if is_public(address):
        logger.warning("%s is open to everybody who can reach %s; --host 127.0.0.1 closes it", what, address)
