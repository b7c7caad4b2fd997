"""`gcore-etl emulator`: a local server that behaves like the API."""

from __future__ import annotations

import datetime as dt
import shlex
import threading
from typing import TYPE_CHECKING, Any

import click

from etl.cli.console import note
from etl.cli.hosts import allow_host_option, host_option, warn_if_public
from etl.cli.params import ApiKey, FloatRange, Latency
from etl.cli.signals import interruptible
from etl.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

# The fields of `etl.emulator.Behaviour` that an option sets, with their choices.
SWITCHES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "--date-filter-means": (
        "date_created",
        ("gte", "lte", "day", "exact", "ignored", "rejected"),
        "How the date_created filter compares.",
    ),
    "--past-end": ("past_end", ("empty", "404"), "Response for a page after the last one."),
    "--shape": ("record_shape", ("present", "older"), "Record format: the present one, or an older one."),
    "--expired": ("expired_result", ("null", "empty", "404", "410"), "Response for an expired result."),
    "--nulls": ("nulls", ("first", "last"), "Position of tasks without a start time in the default order."),
}
# Larger rates would only keep the machine busy.
_MAX_RATE = 1_000_000
_DEMO_EXTRA = {"httptools", "sortedcontainers", "starlette", "uvicorn"}


class EmulatorUnavailable(click.ClickException):
    """The emulator cannot start: a package is missing, or it cannot listen on the address."""

    exit_code = 3


def import_emulator() -> ModuleType:
    """Return the emulator's package. Raises EmulatorUnavailable if its extra is not installed."""
    try:
        import etl.emulator
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] not in _DEMO_EXTRA:
            raise
        raise EmulatorUnavailable(
            "the emulator needs packages that are not installed: run pip install 'gcore-ai-tasks-etl[demo]'"
        ) from None
    return etl.emulator


def _switch_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option, (field, choices, text) in reversed(SWITCHES.items()):
        choice = click.Choice(choices)
        function = click.option(option, field, type=choice, default=choices[0], show_default=True, help=text)(
            function
        )
    return function


@click.command()
@host_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Port to listen on; 0 for any free one.",
)
@click.option("--api-key", type=ApiKey(), help="API key to accept.  [default: a well-formed one]")
@click.option(
    "--tasks",
    type=click.IntRange(0, 10_000_000),
    default=1000,
    show_default=True,
    help="Number of tasks at the start.",
)
@click.option(
    "--days",
    type=FloatRange(0, 36_500),
    default=45.0,
    show_default=True,
    help="Period in which these tasks were created, in days.",
)
@click.option("--seed", type=int, default=7, show_default=True, help="Random seed of the tasks.")
@click.option("--client-id", type=int, default=2675, show_default=True, help="Client id of the tasks.")
@click.option(
    "--arrivals-per-hour",
    type=FloatRange(0, _MAX_RATE),
    default=60.0,
    show_default=True,
    help="Number of new tasks per hour.",
)
@click.option(
    "--speed",
    type=FloatRange(0, _MAX_RATE),
    default=1.0,
    show_default=True,
    help="Speed of the emulated clock, in emulated seconds per second.",
)
@click.option(
    "--page-cap",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Maximum number of tasks per page.",
)
@_switch_options
@allow_host_option
@click.option("--latency", type=Latency(), default=0.0, help="Delay of every response, such as 100ms.")
@click.option(
    "--rate-limit",
    type=FloatRange(0, _MAX_RATE, min_open=True),
    help="Maximum number of requests per second; others get a 429.",
)
@click.pass_context
def emulator(  # noqa: PLR0913
    context: click.Context,
    /,
    *,
    host: str,
    port: int,
    api_key: str | None,
    tasks: int,
    days: float,
    arrivals_per_hour: float,
    allowed: tuple[str, ...],
    **options: Any,  # noqa: ANN401
) -> None:
    """
    Run a local emulator of the API until stopped (Ctrl-C or SIGTERM).

    Its tasks are created, run and end as time passes. The URL and the key to use are printed on stderr.
    """
    package = import_emulator()
    world_options = {name: options.pop(name) for name in ("seed", "client_id", "speed")}
    try:
        with interruptible():
            world = package.World.seeded(
                tasks,
                now=dt.datetime.now(dt.UTC),
                span=dt.timedelta(days=days),
                arrivals_per_hour=arrivals_per_hour,
                **world_options,
            )
            with package.serve(
                world,
                package.Behaviour(**options),
                port,
                host=host,
                api_key=api_key or package.API_KEY,
                allowed=allowed,
            ) as server:
                _introduce(server.base_url, server.api_key, tasks)
                warn_if_public(server.address, "the emulator")
                threading.Event().wait()
    except Interrupted as stop:
        context.exit(stop.exit_code)
    except (OSError, TypeError, UnicodeError) as refused:
        raise EmulatorUnavailable(
            f"cannot listen on {host}:{port}: {getattr(refused, 'strerror', None) or refused}: "
            "choose another --port or --host"
        ) from None


def _introduce(base_url: str, api_key: str, tasks: int) -> None:
    note(f"The emulator is running at {base_url} with {tasks:,} tasks. To use it (Ctrl-C stops it):")
    note(f"  export GCORE_BASE_URL={shlex.quote(base_url)} GCORE_API_KEY={shlex.quote(api_key)}")
