"""`gcore-etl emulator`: a local server that behaves like the API."""

from __future__ import annotations

import datetime as dt
import shlex
import threading
from typing import TYPE_CHECKING, Any

import click

from etl.cli.console import print_note
from etl.cli.extras import import_extra
from etl.cli.hosts import explain_bind_error, server_options, until_stopped, warn_if_public
from etl.cli.params import API_KEY, LATENCY, FloatRange
from etl.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

# The fields of `etl.emulator.Behaviour` that an option sets, with their choices.
SWITCHES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "--date-filter-means": (
        "date_created",
        ("gte", "lte", "day", "exact", "ignored", "rejected"),
        "How the date_created filter compares dates.",
    ),
    "--past-end": ("past_end", ("empty", "404"), "Response for a page after the last one."),
    "--shape": ("record_shape", ("present", "older"), "Record format: the present one, or an older one."),
    "--expired": ("expired_result", ("null", "empty", "404", "410"), "Response for an expired result."),
    "--nulls": ("nulls", ("first", "last"), "Position of tasks without a start time in the default order."),
}
# Larger rates would only keep the machine busy.
_MAX_RATE = 1_000_000
_RATE = FloatRange(0, _MAX_RATE)


def import_emulator() -> ModuleType:
    """Return the emulator's package. Raises MissingExtra if its extra is not installed."""
    return import_extra("etl.emulator", feature="the emulator", extra="demo")


def _switch_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option, (field, choices, text) in reversed(SWITCHES.items()):
        decorate = click.option(option, field, type=click.Choice(choices), default=choices[0], help=text)
        function = decorate(function)
    return function


@click.command()
@server_options(8080)
@click.option(
    "--api-key", type=API_KEY, help="API key to accept.  [default: a built-in one, printed at the start]"
)
@click.option(
    "--tasks", type=click.IntRange(0, 10_000_000), default=1000, help="Number of tasks at the start."
)
@click.option(
    "--days",
    type=FloatRange(0, 36_500),
    default=45.0,
    help="Period in which these tasks were created, in days.",
)
@click.option("--seed", type=int, default=7, help="Random seed of the tasks.")
@click.option("--client-id", type=int, default=2675, help="Client id of the tasks.")
@click.option("--arrivals-per-hour", type=_RATE, default=60.0, help="Number of new tasks per hour.")
@click.option(
    "--speed",
    type=_RATE,
    default=1.0,
    help="Speed of the emulated clock, in emulated seconds per second.",
)
@click.option("--page-cap", type=click.IntRange(1), default=1000, help="Maximum number of tasks per page.")
@_switch_options
@click.option(
    "--latency", type=LATENCY, default=0.0, show_default=False, help="Delay of every response, such as 100ms."
)
@click.option(
    "--rate-limit",
    type=FloatRange(0, _MAX_RATE, min_open=True),
    help="Maximum number of requests per second; others get a 429.",
)
def emulator(  # noqa: PLR0913
    *,
    host: str,
    port: int,
    api_key: str | None,
    tasks: int,
    days: float,
    allowed: tuple[str, ...],
    **options: Any,  # noqa: ANN401
) -> None:
    """
    Run a local emulator of the API until stopped (Ctrl-C or SIGTERM).

    Its tasks are created, run and end as time passes. The URL and the key to use are printed on stderr.
    """
    package = import_emulator()
    world_options = {name: options.pop(name) for name in ("seed", "client_id", "speed", "arrivals_per_hour")}
    behaviour = package.Behaviour(**options)
    key = api_key or package.API_KEY
    with explain_bind_error(host, port), until_stopped():
        now, span = dt.datetime.now(dt.UTC), dt.timedelta(days=days)
        world = package.World.seeded(tasks, now=now, span=span, **world_options)
        with package.serve(world, behaviour, port, host=host, api_key=key, allowed=allowed) as server:
            number = counted(tasks, "task")
            print_note(
                f"The emulator is running at {server.base_url} with {number}. To use it (Ctrl-C stops it):"
            )
            print_note(
                f"  export GCORE_BASE_URL={shlex.quote(server.base_url)} GCORE_API_KEY={shlex.quote(key)}"
            )
            warn_if_public(server.address, "the emulator")
            threading.Event().wait()
