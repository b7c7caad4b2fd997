"""The API's addresses: the list, a task, the languages, and nothing that writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from etl.emulator.control import control_routes
from etl.emulator.faults import error
from etl.emulator.middleware import Middleware
from etl.emulator.pages import PastTheEnd, render_page
from etl.emulator.phrases import LANGUAGES
from etl.emulator.query import BadParameter, parse_query
from etl.emulator.render import dump, render_detail

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from etl.emulator.raw_protocol import Answer
    from etl.emulator.server import Emulator

TASKS = "/streaming/ai/tasks"


def make_app(emulator: Emulator) -> ASGIApp:
    """Build the application: the gate in front, the addresses behind it."""
    app = Starlette(
        routes=[
            Route(TASKS, _list_tasks, methods=["GET"]),
            Route(TASKS + "/{task_id}", _show_task, methods=["GET"]),
            Route(TASKS + "/{task_id}/cancel", _refuse_to_write, methods=["GET", "POST"]),
            Route("/streaming/ai/info", _tell_languages, methods=["GET"]),
            *control_routes(),
        ],
        exception_handlers={
            404: lambda _request, _error: _respond(error(404)),
            405: lambda _request, _error: _respond(error(405)),
            BadParameter: lambda _request, exc: _respond(error(exc.status, f"Bad Request. {exc}")),
            PastTheEnd: lambda _request, _error: _respond(error(404, "Invalid page.")),
        },
    )
    app.router.redirect_slashes = False
    app.state.emulator = emulator
    return Middleware(app, emulator)


def _respond(answer: Answer) -> Response:
    return Response(answer.body, answer.status, answer.headers)


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


async def _list_tasks(request: Request) -> Response:
    emulator: Emulator = request.app.state.emulator
    cap = emulator.grant_page()
    query = parse_query(request.query_params, emulator.behaviour)
    with emulator.world.lock:
        return _json(render_page(query, emulator.world.index, emulator.behaviour, cap))


async def _show_task(request: Request) -> Response:
    emulator: Emulator = request.app.state.emulator
    with emulator.world.lock:
        task = emulator.world.tasks.get(request.path_params["task_id"])
        if task is None:
            return _respond(error(404))
        body = render_detail(task, emulator.world.now, emulator.behaviour)
    if body is None:
        return _respond(error(int(emulator.behaviour.expired_result)))
    return _json(body)


async def _refuse_to_write(_request: Request) -> Response:
    return _respond(error(405))


async def _tell_languages(request: Request) -> Response:
    params = request.query_params
    if params.get("type") != "language_support":
        return _json(dump({"error": "Invalid config type"}), 400)
    spoken, shown = params.get("audio_language"), params.get("subtitles_language")
    if not spoken:
        return _json(dump({"error": "audio_language is required"}), 400)
    return _json(dump({"supported": spoken in LANGUAGES and (not shown or shown in LANGUAGES)}))
