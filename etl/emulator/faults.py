"""The response to each kind of fault, in place of the right one or made from it."""

from __future__ import annotations

import datetime as dt
import http
import math
from email.utils import format_datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from starlette.responses import HTMLResponse, PlainTextResponse, Response

from etl.emulator.render import dump

if TYPE_CHECKING:
    from etl.emulator.behaviour import Fault, RequestInfo

# These faults damage the right response or its transmission; all others replace it.
DAMAGING = frozenset({"truncated_json", "trailing_garbage", "reset_mid_body", "wrong_length", "slow"})

_TEXTS = {
    400: "Bad Request. Please check the parameters of the request",
    401: "Authentication credentials were not provided or are not valid",
    403: "You do not have permission to perform this action",
    404: "Not Found. Nothing is known at this address, please check the initial parameters",
    405: "Method is not allowed",
    408: "Request Timeout",
    410: "Gone. The result of this task is no longer stored",
    422: "Feature is disabled. Contact support to enable.",
    425: "Too Early",
    429: "Too many requests, try later",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


def error_response(status: int, text: str | None = None, headers: dict[str, str] | None = None) -> Response:
    """Return an error response with the text and the shape that the API uses."""
    text = text or _TEXTS[status]
    if status in {401, 403, 500}:
        body: object = {"exception_class": "ApiError", "message": text, "request_id": f"emulated-{status}"}
    elif status == http.HTTPStatus.UNPROCESSABLE_ENTITY:
        body = {"error": text}
    else:
        body = {"status": status, "error": text}
    return json_response(body, status, headers)


def json_response(body: bytes | object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a response with this JSON, or this text of JSON."""
    text = body if isinstance(body, bytes) else dump(body)
    return Response(text, status, headers, "application/json")


def too_many_requests(wait: float, retry_after: str, now: dt.datetime) -> Response:
    """Return a 429 response, with Retry-After in seconds, as an HTTP date, or without it."""
    seconds = math.ceil(wait)
    headers = {
        "seconds": {"retry-after": str(seconds)},
        "date": {"retry-after": format_datetime(now + dt.timedelta(seconds=seconds), usegmt=True)},
    }
    return error_response(429, headers=headers.get(retry_after))


def fault_response(fault: Fault, request: RequestInfo, now: dt.datetime, port: int) -> Response:
    """Return the response to a fault that replaces the right one."""
    here = quote(request.path) + (f"?{urlencode(request.query)}" if request.query else "")
    match fault.kind:
        case "429_seconds" | "429_date" | "429_bare":
            response = too_many_requests(fault.seconds, fault.kind.removeprefix("429_"), now)
        case "502_html":
            response = HTMLResponse("<html><body><h1>502 Bad Gateway</h1></body></html>", 502)
        case "html_200":
            response = HTMLResponse("<!doctype html><title>Sign in</title><p>Please sign in.</p>")
        case "not_json":
            response = PlainTextResponse("upstream is warming up")
        case "quote_key":
            response = error_response(
                400, f"Bad Request. Authorization: {request.headers.get('authorization', '')}"
            )
        case "redirect_same_origin":
            response = Response(status_code=302, headers={"location": fault.url or here})
        case "redirect_other_origin":
            elsewhere = fault.url or f"http://localhost:{port}{here}"
            response = Response(status_code=302, headers={"location": elsewhere})
        case _:
            response = error_response(int(fault.kind))
    response.status_code = fault.status or response.status_code
    return response


def damage(fault: Fault, response: Response) -> None:
    """Damage the body of a response; Content-Length is that of the damaged body."""
    if fault.kind == "truncated_json":
        response.body = response.body[: len(response.body) * 2 // 3]
    elif fault.kind == "trailing_garbage":
        response.body = bytes(response.body) + b'\n<!-- served by edge-7 -->{"'
    response.headers["content-length"] = str(len(response.body))
