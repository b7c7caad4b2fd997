"""The ASGI application: log, hook, faults, authentication, rate limit and response headers."""

from __future__ import annotations

import asyncio
import hmac
import time
from email.utils import format_datetime
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, QueryParams

from etl.emulator import raw_protocol
from etl.emulator.behaviour import Fault, RequestInfo
from etl.emulator.control import control_app
from etl.emulator.endpoints import respond
from etl.emulator.faults import DAMAGING, damage, error_response, fault_response, too_many_requests
from etl.host_guard import HostGuard

if TYPE_CHECKING:
    import datetime as dt

    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from etl.emulator.state import Emulator

CONTROL = "/_emulator/"


class App:
    """Logs requests, calls the hook, and applies the behaviour that is common to all endpoints."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        # Control requests need no API key, so the host guard refuses requests that a web page makes.
        self._control = HostGuard(
            control_app(emulator),
            host=emulator.host,
            address=emulator.address,
            port=emulator.port,
            allowed=emulator.allowed,
        )
        self._tokens, self._refilled_at = 0.0, float("-inf")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        try:
            if scope["path"].startswith(CONTROL):
                await self._control(scope, receive, send)
            else:
                await self._handle(scope, receive, send)
        except asyncio.CancelledError:  # the server stops
            return
        except Exception as failure:  # the end of `serve` raises it, so that a test fails
            self._emulator.failure = self._emulator.failure or failure
            raise

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        query, headers = QueryParams(scope["query_string"]), Headers(scope=scope)
        request = RequestInfo(scope["method"], scope["path"], dict(query), dict(headers))
        self._emulator.log_request(request)
        behaviour = self._emulator.behaviour
        if behaviour.before_request is not None:
            behaviour.before_request(request)
        self._emulator.world.catch_up()
        with self._emulator.world.lock:
            fault = behaviour.take_fault(request)
        kind = fault.kind if fault else None
        # No other request may run before the response is complete: its hook could change the behaviour.
        response = None if kind == "reset" else self._respond(request, fault)
        await asyncio.sleep(behaviour.latency + (fault.seconds if fault and fault.kind == "slow" else 0))
        if response is None:
            await raw_protocol.reset(None, scope, receive, send)
            return
        request.status = response.status_code
        if kind == "reset_mid_body":
            await raw_protocol.reset(response, scope, receive, send)
        elif kind == "wrong_length":
            await raw_protocol.send_short(response, scope, receive, send)
        else:
            await response(scope, receive, send)

    def _respond(self, request: RequestInfo, fault: Fault | None) -> Response:
        now = self._emulator.world.now
        if fault is not None and fault.kind not in DAMAGING:
            response = fault_response(fault, request, now, self._emulator.port)
        else:
            response = self._refuse(request, now) or respond(request, self._emulator)
            if fault is not None:
                damage(fault, response)
        self._set_date(response)
        return response

    def _refuse(self, request: RequestInfo, now: dt.datetime) -> Response | None:
        behaviour = self._emulator.behaviour
        wait = self._wait_for_token(behaviour.rate_limit)
        if wait > 0:
            return too_many_requests(wait, behaviour.retry_after, now)
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        is_right = hmac.compare_digest(key.strip().encode(), self._emulator.api_key.encode())
        if scheme.lower() != "apikey" or not is_right:
            return error_response(behaviour.bad_key_status)
        return error_response(422) if behaviour.feature_disabled else None

    def _wait_for_token(self, rate: float | None) -> float:
        """Take a token from a bucket that holds one second's worth; return the seconds until there is one."""
        if rate is None:
            return 0
        now = time.monotonic()
        self._tokens = min(max(rate, 1), self._tokens + (now - self._refilled_at) * rate)
        self._refilled_at = now
        if self._tokens < 1:
            return (1 - self._tokens) / rate
        self._tokens -= 1
        return 0

    def _set_date(self, response: Response) -> None:
        behaviour = self._emulator.behaviour
        if behaviour.date_header == "ok":
            date = self._emulator.world.now + behaviour.clock_skew
            response.headers["date"] = format_datetime(date, usegmt=True)
        elif behaviour.date_header == "garbage":
            response.headers["date"] = "the day after tomorrow"
