"""
Routes under `/_emulator/`, which control the emulator from another process.

They need no API key, and are served only under the emulator's own host names (`etl.emulator.app`).
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import TYPE_CHECKING, get_type_hints

import msgspec
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from etl.emulator.behaviour import Behaviour, Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from etl.emulator.state import Emulator
    from etl.emulator.world import World


def control_app(emulator: Emulator) -> Starlette:
    """Return the application that serves the routes; a ValueError is answered with 400 and its text."""
    app = Starlette(
        routes=[
            Route("/_emulator/advance", _advance, methods=["POST"]),
            Route("/_emulator/stats", _stats, methods=["GET"]),
            Route("/_emulator/fault", _inject, methods=["POST"]),
            Route("/_emulator/behaviour", _behave, methods=["POST"]),
        ],
        exception_handlers={TypeError: _refuse, ValueError: _refuse},
    )
    app.state.emulator = emulator
    return app


async def _refuse(_request: Request, wrong: Exception) -> JSONResponse:
    return JSONResponse({"error": str(wrong)}, 400)


def parse_fields(kind: type, given: Mapping[str, object]) -> dict[str, object]:
    """Return text or JSON values converted to the field types of a dataclass; durations are in seconds."""
    hints = get_type_hints(kind)
    values: dict[str, object] = {}
    for name, value in given.items():
        if name not in hints or name in {"faults", "before_request"}:
            raise ValueError(f"unknown setting {name!r}")
        try:
            values[name] = msgspec.convert(value, hints[name], strict=False)
        except msgspec.ValidationError as invalid:
            raise ValueError(f"{name}: {invalid}") from None
    return values


async def _advance(request: Request) -> JSONResponse:
    world = request.app.state.emulator.world
    try:
        world.advance(dt.timedelta(seconds=float(request.query_params.get("seconds", ""))))
    except (ValueError, OverflowError):
        raise ValueError("seconds: a number of at least 0 is required") from None
    return JSONResponse({"now": _now(world)})


async def _stats(request: Request) -> JSONResponse:
    emulator = request.app.state.emulator
    with emulator.world.lock:
        tasks = emulator.world.tasks
        stats = {
            "now": _now(emulator.world),
            "tasks": len(tasks),
            "by_status": Counter(task.status for task in tasks.values()),
            "requests": emulator.served,
            "writes": emulator.writes,
        }
    return JSONResponse(stats)


async def _inject(request: Request) -> JSONResponse:
    emulator = request.app.state.emulator
    emulator.inject(Fault(**parse_fields(Fault, request.query_params)))  # type: ignore[arg-type]
    return JSONResponse({"faults": len(emulator.behaviour.faults)})


async def _behave(request: Request) -> JSONResponse:
    settings = parse_fields(Behaviour, await request.json())
    for name, value in settings.items():
        setattr(request.app.state.emulator.behaviour, name, value)
    return JSONResponse({"changed": sorted(settings)})


def _now(world: World) -> str:
    return f"{world.now:%Y-%m-%dT%H:%M:%S.%fZ}"
