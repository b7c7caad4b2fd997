"""`gcore-etl emulator`: a local server that behaves like the API, to try things on."""

from __future__ import annotations

import datetime as dt
import math
import shlex
import threading
from typing import TYPE_CHECKING, Any

import click

from etl.cli.console import note
from etl.cli.hosts import allow_host_option, host_option, warn_if_public
from etl.cli.signals import interruptible
from etl.errors import Interrupted
from etl.settings import parse_api_key, parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

# Each of these is the switch of that name in `etl.emulator.Behaviour`, under a name for people.
SWITCHES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "--date-filter-means": (
        "date_created",
        ("gte", "lte", "day", "exact", "ignored", "rejected"),
        "What the date_created filter compares.",
    ),
    "--past-end": ("past_end", ("empty", "404"), "What a page after the last one answers."),
    "--shape": ("record_shape", ("present", "older"), "Which of its shapes a record has."),
    "--expired": ("expired_result", ("null", "empty", "404", "410"), "What is left of an expired result."),
    "--nulls": ("nulls", ("first", "last"), "Where tasks without a start stand in the default order."),
}
# Of anything in an hour or a second: what is more only keeps the machine busy.
_MAX = 1_000_000
_DEMO_EXTRA = {"httptools", "sortedcontainers", "starlette", "uvicorn"}


class EmulatorUnavailable(click.ClickException):
    """The emulator cannot run here until something is installed or freed."""

    exit_code = 3


class _Delay(click.ParamType[float]):
    """A span such as 100ms or 1s, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """Read it, or say how it is written."""
        if isinstance(value, int | float):
            return float(value)
        is_short = value.endswith("ms")
        try:
            return parse_duration(value.replace("ms", "s")).total_seconds() / (1000 if is_short else 1)
        except ValueError:
            self.fail(f"{value!r} is not a duration: write 100ms, 1s or 1m", param, ctx)


class _Number(click.FloatRange):
    """A number in a range; click takes `nan` for one that is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """Read it, or say what it must be."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


class _ApiKey(click.ParamType[str]):
    """A key that a client can send."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        """Read it as a client would, or say what is wrong with it."""
        try:
            return parse_api_key(str(value)).reveal()
        except ValueError as error:
            self.fail(f"the key {error}", param, ctx)


def import_emulator() -> ModuleType:
    """Import the emulator, or say which extra is missing."""
    try:
        import etl.emulator
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] not in _DEMO_EXTRA:
            raise
        raise EmulatorUnavailable(
            "the emulator needs the demo extra: pip install 'gcore-ai-tasks-etl[demo]'"
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
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0: any free one."
)
@click.option("--api-key", type=_ApiKey(), help="The key to ask for.  [default: one that looks real]")
@click.option(
    "--tasks",
    type=click.IntRange(0, 10_000_000),
    default=1000,
    show_default=True,
    help="How many there are already.",
)
@click.option(
    "--days", type=_Number(0, 36_500), default=45.0, show_default=True, help="Over how long they came."
)
@click.option("--seed", type=int, default=7, show_default=True, help="Another number, another world.")
@click.option("--client-id", type=int, default=2675, show_default=True, help="Whose tasks they are.")
@click.option(
    "--arrivals-per-hour", type=_Number(0, _MAX), default=60.0, show_default=True, help="New tasks."
)
@click.option(
    "--speed", type=_Number(0, _MAX), default=1.0, show_default=True, help="Seconds of theirs in one."
)
@click.option(
    "--page-cap", type=click.IntRange(1), default=1000, show_default=True, help="The largest page granted."
)
@_switch_options
@allow_host_option
@click.option("--latency", type=_Delay(), default=0.0, help="How late every answer is, such as 100ms.")
@click.option("--rate-limit", type=_Number(0, _MAX, min_open=True), help="Requests a second; more get a 429.")
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
    Serve a local stand-in for the API until stopped (Ctrl-C or SIGTERM).

    Its tasks come, run and end as time goes on. The key and the address to use are printed on stderr.
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
            f"cannot listen on {host}:{port}: {getattr(refused, 'strerror', None) or refused}; "
            "choose another --port or --host"
        ) from None


def _introduce(base_url: str, api_key: str, tasks: int) -> None:
    note(f"The emulator is at {base_url} with {tasks:,} tasks; Ctrl-C ends it. To use it:")
    note(f"  export GCORE_BASE_URL={shlex.quote(base_url)} GCORE_API_KEY={shlex.quote(api_key)}")
