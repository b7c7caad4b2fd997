"""What each kind of fault answers, and what it does to an answer that was right."""

from __future__ import annotations

import datetime as dt
import http
import math
from email.utils import format_datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from etl.emulator.raw_protocol import Answer
from etl.emulator.render import dump

if TYPE_CHECKING:
    from etl.emulator.behaviour import Fault, RequestInfo

JSON = {"content-type": "application/json"}
HTML = {"content-type": "text/html; charset=utf-8"}

# These change a right answer, or the way it is sent; all others take its place.
SPOIL = frozenset({"truncated_json", "trailing_garbage", "reset_mid_body", "wrong_length", "slow"})

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


def error(status: int, text: str | None = None, headers: dict[str, str] | None = None) -> Answer:
    """Answer with an error in the words and the shape of the API."""
    text = text or _TEXTS[status]
    if status in {401, 403, 500}:
        body: object = {"exception_class": "ApiError", "message": text, "request_id": f"emulated-{status}"}
    elif status == http.HTTPStatus.UNPROCESSABLE_ENTITY:
        body = {"error": text}
    else:
        body = {"status": status, "error": text}
    return Answer(status, dump(body), JSON | (headers or {}))


def too_many(wait: float, how: str, now: dt.datetime) -> Answer:
    """Answer 429, saying when to come back as seconds, as an HTTP date, or not at all."""
    seconds = math.ceil(wait)
    told = {
        "seconds": {"retry-after": str(seconds)},
        "date": {"retry-after": format_datetime(now + dt.timedelta(seconds=seconds), usegmt=True)},
    }
    return error(429, headers=told.get(how))


def replace_answer(fault: Fault, request: RequestInfo, now: dt.datetime, port: int) -> Answer:
    """Give what the fault answers in place of the truth."""
    here = quote(request.path) + (f"?{urlencode(request.query)}" if request.query else "")
    match fault.kind:
        case "429_seconds" | "429_date" | "429_bare":
            answer = too_many(fault.seconds, fault.kind.removeprefix("429_"), now)
        case "502_html":
            answer = Answer(502, b"<html><body><h1>502 Bad Gateway</h1></body></html>", HTML)
        case "html_200":
            answer = Answer(200, b"<!doctype html><title>Sign in</title><p>Please sign in.</p>", HTML)
        case "not_json":
            answer = Answer(200, b"upstream is warming up", {"content-type": "text/plain"})
        case "quote_key":
            answer = error(400, f"Bad Request. Authorization: {request.headers.get('authorization', '')}")
        case "redirect_same_origin":
            answer = Answer(302, b"", {"location": fault.url or here})
        case "redirect_other_origin":
            answer = Answer(302, b"", {"location": fault.url or f"http://localhost:{port}{here}"})
        case _:
            answer = error(int(fault.kind))
    answer.status = fault.status or answer.status
    return answer


def spoil(fault: Fault, answer: Answer) -> None:
    """Damage the body of a right answer; its length is announced as it then is."""
    if fault.kind == "truncated_json":
        answer.body = answer.body[: len(answer.body) * 2 // 3]
    elif fault.kind == "trailing_garbage":
        answer.body += b'\n<!-- served by edge-7 -->{"'
