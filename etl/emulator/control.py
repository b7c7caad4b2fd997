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
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from etl.emulator.behaviour import Behaviour, Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from etl.emulator.state import Emulator


def control_app(emulator: Emulator) -> Starlette:
    """Return the application that serves the routes."""
    app = Starlette(
        routes=[
            Route("/_emulator/advance", _advance, methods=["POST"]),
            Route("/_emulator/stats", _stats, methods=["GET"]),
            Route("/_emulator/fault", _fault, methods=["POST"]),
            Route("/_emulator/behaviour", _behaviour, methods=["POST"]),
        ]
    )
    app.state.emulator = emulator
    return app


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


async def _advance(request: Request) -> Response:
    emulator: Emulator = request.app.state.emulator
    try:
        emulator.world.advance(dt.timedelta(seconds=float(request.query_params.get("seconds", ""))))
    except (ValueError, OverflowError):
        return _refuse("seconds: a number of at least 0 is required")
    return JSONResponse({"now": _now(emulator)})


async def _stats(request: Request) -> Response:
    emulator: Emulator = request.app.state.emulator
    with emulator.world.lock:
        tasks = emulator.world.tasks
        return JSONResponse(
            {
                "now": _now(emulator),
                "tasks": len(tasks),
                "by_status": Counter(task.status for task in tasks.values()),
                "requests": emulator.served,
                "writes": emulator.writes,
            }
        )


async def _fault(request: Request) -> Response:
    emulator: Emulator = request.app.state.emulator
    try:
        emulator.inject(Fault(**parse_fields(Fault, request.query_params)))  # type: ignore[arg-type]
    except (TypeError, ValueError) as wrong:
        return _refuse(str(wrong))
    return JSONResponse({"faults": len(emulator.behaviour.faults)})


async def _behaviour(request: Request) -> Response:
    emulator: Emulator = request.app.state.emulator
    try:
        settings = parse_fields(Behaviour, await request.json())
    except ValueError as wrong:
        return _refuse(str(wrong))
    for name, value in settings.items():
        setattr(emulator.behaviour, name, value)
    return JSONResponse({"changed": sorted(settings)})


def _now(emulator: Emulator) -> str:
    return f"{emulator.world.now:%Y-%m-%dT%H:%M:%S.%fZ}"


def _refuse(reason: str) -> Response:
    return JSONResponse({"error": reason}, 400)
