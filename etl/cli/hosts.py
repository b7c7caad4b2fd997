"""What the commands that run a server share: its address, the host names it answers to, and how it ends."""

from __future__ import annotations

import contextlib
import errno
import logging
from typing import TYPE_CHECKING, Any, TypeVar

import click

from etl.cli.params import ADDRESS, HOST_NAME
from etl.cli.signals import interruptible
from etl.errors import ConfigurationError, Interrupted
from etl.host_guard import is_public

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

F = TypeVar("F", bound="Callable[..., Any]")

logger = logging.getLogger(__name__)


def server_options(default_port: int) -> Callable[[F], F]:
    """Return a decorator that adds `--host`, `--port` and `--allow-host`."""

    def add(function: F) -> F:
        ports = click.IntRange(0, 65535)
        for option in (
            click.option(
                "--allow-host",
                "allowed",
                type=HOST_NAME,
                multiple=True,
                help="Also accept this host name, for example behind a proxy. Can be repeated.",
            ),
            click.option(
                "--port", type=ports, default=default_port, help="Port to listen on; 0 for any free one."
            ),
            click.option("--host", type=ADDRESS, default="127.0.0.1", help="Address to listen on."),
        ):
            function = option(function)
        return function

    return add


def warn_if_public(address: str, what: str) -> None:
    """Log a warning if other machines can reach a server that listens on this address."""
    if is_public(address):
        logger.warning(
            "%s answers everyone who can reach %s: use --host 127.0.0.1 to allow only this machine",
            what,
            address,
        )


@contextlib.contextmanager
def explain_bind_error(host: str, port: int) -> Iterator[None]:
    """Raise ConfigurationError if a server cannot listen on this address."""
    try:
        yield
    except (OSError, TypeError, UnicodeError) as refused:
        is_port = getattr(refused, "errno", None) in {errno.EADDRINUSE, errno.EACCES}
        raise ConfigurationError(
            f"cannot listen on {host}, port {port}: {getattr(refused, 'strerror', None) or refused}; "
            f"choose another {'--port' if is_port else '--host'}"
        ) from None


@contextlib.contextmanager
def until_stopped() -> Iterator[None]:
    """End the command at a signal, without a message: stopping is how a server ends."""
    try:
        with interruptible():
            yield
    except Interrupted as stop:
        click.get_current_context().exit(stop.exit_code)
