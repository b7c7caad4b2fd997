"""The API's endpoints: the list, the details of a task, and language support; writes are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etl.emulator.faults import error_response, json_response
from etl.emulator.pages import PageNotFound, render_page
from etl.emulator.phrases import LANGUAGES
from etl.emulator.query import BadParameter, parse_query
from etl.emulator.render import render_detail

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

    from etl.emulator.behaviour import RequestInfo
    from etl.emulator.state import Emulator


def respond(request: RequestInfo, emulator: Emulator) -> Response:
    """Return the right response to a request."""
    is_read = request.method in {"GET", "HEAD"}
    response = error_response(404)
    try:
        match request.path.removeprefix("/streaming/ai/").split("/"):
            case ["tasks"] if is_read:
                response = _list_tasks(request.query, emulator)
            case ["tasks", task_id] if is_read and task_id:
                response = _task_details(task_id, emulator)
            case ["info"] if is_read:
                response = _language_support(request.query)
            case ["tasks"] | ["tasks", _] | ["tasks", _, "cancel"] | ["info"] as path if all(path):
                response = error_response(405)
    except BadParameter as refused:
        response = error_response(refused.status, f"Bad Request. {refused}")
    except PageNotFound:
        response = error_response(404, "Invalid page.")
    return response


def _list_tasks(params: Mapping[str, str], emulator: Emulator) -> Response:
    cap = emulator.next_page_cap()
    query = parse_query(params, emulator.behaviour)
    with emulator.world.lock:
        return json_response(render_page(query, emulator.world.index, emulator.behaviour, cap))


def _task_details(task_id: str, emulator: Emulator) -> Response:
    with emulator.world.lock:
        task = emulator.world.tasks.get(task_id)
        if task is None:
            return error_response(404)
        body = render_detail(task, emulator.world.now, emulator.behaviour)
    return error_response(int(emulator.behaviour.expired_result)) if body is None else json_response(body)


def _language_support(params: Mapping[str, str]) -> Response:
    if params.get("type") != "language_support":
        return json_response({"error": "Invalid config type"}, 400)
    audio, subtitles = params.get("audio_language"), params.get("subtitles_language")
    if not audio:
        return json_response({"error": "audio_language is required"}, 400)
    is_supported = audio in LANGUAGES and (not subtitles or subtitles in LANGUAGES)
    return json_response({"supported": is_supported})
