"""What the commands that run a server share: its address, the host names it answers to, and how it ends."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any, TypeVar

import click

from etl.cli.params import ADDRESS, HOST_NAME
from etl.cli.signals import interruptible
from etl.errors import Interrupted
from etl.host_guard import is_public

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

F = TypeVar("F", bound="Callable[..., Any]")

logger = logging.getLogger(__name__)

host_option = click.option("--host", type=ADDRESS, default="127.0.0.1", help="Address to listen on.")
allow_host_option = click.option(
    "--allow-host",
    "allowed",
    type=HOST_NAME,
    multiple=True,
    help="Also accept this host name, for example behind a proxy. Can be repeated.",
)


def port_option(default: int) -> Callable[[F], F]:
    """Return a decorator that adds `--port`."""
    ports = click.IntRange(0, 65535)
    return click.option("--port", type=ports, default=default, help="Port to listen on; 0 for any free one.")


def warn_if_public(address: str, what: str) -> None:
    """Log a warning if other machines can reach a server that listens on this address."""
    if is_public(address):
        logger.warning(
            "%s is open to everyone who can reach %s: use --host 127.0.0.1 to restrict it", what, address
        )


@contextlib.contextmanager
def until_stopped() -> Iterator[None]:
    """End the command at a signal, without a message: stopping is how a server ends."""
    try:
        with interruptible():
            yield
    except Interrupted as stop:
        click.get_current_context().exit(stop.exit_code)
