"""The API's routes: the list, the details of a task, and language support; writes are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from etl.emulator.control import control_routes
from etl.emulator.faults import error_response
from etl.emulator.middleware import Middleware
from etl.emulator.pages import PageNotFound, render_page
from etl.emulator.phrases import LANGUAGES
from etl.emulator.query import BadParameter, parse_query
from etl.emulator.render import dump, render_detail

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from etl.emulator.raw_protocol import RawResponse
    from etl.emulator.state import Emulator

TASKS = "/streaming/ai/tasks"


def make_app(emulator: Emulator) -> ASGIApp:
    """Return the application: the routes behind the middleware."""
    app = Starlette(
        routes=[
            Route(TASKS, _list_tasks, methods=["GET"]),
            Route(TASKS + "/{task_id}", _task_details, methods=["GET"]),
            Route(TASKS + "/{task_id}/cancel", _refuse_to_write, methods=["GET", "POST"]),
            Route("/streaming/ai/info", _language_support, methods=["GET"]),
            *control_routes(),
        ],
        exception_handlers={
            404: lambda _request, _error: _respond(error_response(404)),
            405: lambda _request, _error: _respond(error_response(405)),
            BadParameter: lambda _request, exc: _respond(error_response(exc.status, f"Bad Request. {exc}")),
            PageNotFound: lambda _request, _error: _respond(error_response(404, "Invalid page.")),
        },
    )
    app.router.redirect_slashes = False
    app.state.emulator = emulator
    return Middleware(app, emulator)


def _respond(raw: RawResponse) -> Response:
    return Response(raw.body, raw.status, raw.headers)


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


async def _list_tasks(request: Request) -> Response:
    emulator: Emulator = request.app.state.emulator
    cap = emulator.next_page_cap()
    query = parse_query(request.query_params, emulator.behaviour)
    with emulator.world.lock:
        return _json(render_page(query, emulator.world.index, emulator.behaviour, cap))


async def _task_details(request: Request) -> Response:
    emulator: Emulator = request.app.state.emulator
    with emulator.world.lock:
        task = emulator.world.tasks.get(request.path_params["task_id"])
        if task is None:
            return _respond(error_response(404))
        body = render_detail(task, emulator.world.now, emulator.behaviour)
    if body is None:
        return _respond(error_response(int(emulator.behaviour.expired_result)))
    return _json(body)


async def _refuse_to_write(_request: Request) -> Response:
    return _respond(error_response(405))


async def _language_support(request: Request) -> Response:
    params = request.query_params
    if params.get("type") != "language_support":
        return _json(dump({"error": "Invalid config type"}), 400)
    audio, subtitles = params.get("audio_language"), params.get("subtitles_language")
    if not audio:
        return _json(dump({"error": "audio_language is required"}), 400)
    is_supported = audio in LANGUAGES and (not subtitles or subtitles in LANGUAGES)
    return _json(dump({"supported": is_supported}))
