"""
Routes under `/_emulator/`, which control the emulator from another process.

They need no API key, and are served only under the emulator's own host names (`etl.emulator.app`).
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from typing import TYPE_CHECKING, get_type_hints

import msgspec
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from etl.emulator.behaviour import Behaviour, Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

    from etl.emulator.content import Json
    from etl.emulator.state import Emulator


def control_app(emulator: Emulator) -> Starlette:
    """Return the application that serves the routes; a ValueError is answered with 400 and its text."""

    def route(method: str, name: str, change: Callable[[Emulator, Request, bytes], Json]) -> Route:
        async def endpoint(request: Request) -> JSONResponse:
            try:
                return JSONResponse(change(emulator, request, await request.body()))
            except (TypeError, ValueError) as wrong:
                return JSONResponse({"error": str(wrong)}, 400)

        return Route(f"/_emulator/{name}", endpoint, methods=[method])

    return Starlette(
        routes=[
            route("POST", "advance", _advance),
            route("GET", "stats", _stats),
            route("POST", "fault", _inject),
            route("POST", "behaviour", _behave),
        ]
    )


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


def _advance(emulator: Emulator, request: Request, _body: bytes) -> Json:
    try:
        emulator.world.advance(dt.timedelta(seconds=float(request.query_params.get("seconds", ""))))
    except (ValueError, OverflowError):
        raise ValueError("seconds: a number of at least 0 is required") from None
    return {"now": _now(emulator)}


def _stats(emulator: Emulator, _request: Request, _body: bytes) -> Json:
    with emulator.world.lock:
        tasks = emulator.world.tasks
        return {
            "now": _now(emulator),
            "tasks": len(tasks),
            "by_status": Counter(task.status for task in tasks.values()),
            "requests": emulator.served,
            "writes": emulator.writes,
        }


def _inject(emulator: Emulator, request: Request, _body: bytes) -> Json:
    emulator.inject(Fault(**parse_fields(Fault, request.query_params)))  # type: ignore[arg-type]
    return {"faults": len(emulator.behaviour.faults)}


def _behave(emulator: Emulator, _request: Request, body: bytes) -> Json:
    settings = parse_fields(Behaviour, json.loads(body))
    for name, value in settings.items():
        setattr(emulator.behaviour, name, value)
    return {"changed": sorted(settings)}


def _now(emulator: Emulator) -> str:
    return f"{emulator.world.now:%Y-%m-%dT%H:%M:%S.%fZ}"
