"""What every request passes before the API sees it, and every answer on its way out."""

from __future__ import annotations

import asyncio
import hmac
import time
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from etl.emulator import raw_protocol
from etl.emulator.behaviour import Fault, RequestInfo
from etl.emulator.faults import SPOIL, error, replace_answer, spoil, too_many
from etl.host_guard import HostGuard

if TYPE_CHECKING:
    import datetime as dt

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from etl.emulator.server import Emulator

CONTROL = "/_emulator/"


class Middleware:
    """Keeps the log, lets the world move, and applies the switches that belong to no single address."""

    def __init__(self, app: ASGIApp, emulator: Emulator) -> None:
        self._app, self._emulator = app, emulator
        # Nobody needs a key to steer the emulator; a page of some site in a browser must not do it.
        self._control = HostGuard(
            app, host=emulator.host, address=emulator.address, port=emulator.port, allowed=emulator.allowed
        )
        self._tokens, self._refilled_at = 0.0, float("-inf")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            if scope["path"].startswith(CONTROL):
                await self._control(scope, receive, send)
            else:
                await self._pass(scope, receive, send)
        except asyncio.CancelledError:  # the server stops, and nobody is there to hear an answer
            return
        except Exception as failure:
            self._emulator.failure = self._emulator.failure or failure
            raise

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = _read(scope)
        record = self._emulator.note(request)
        behaviour = self._emulator.behaviour
        if behaviour.before_request is not None:
            behaviour.before_request(request)
        self._emulator.world.catch_up()
        with self._emulator.world.lock:
            fault = behaviour.take_fault(request)
        await asyncio.sleep(behaviour.latency + (fault.seconds if fault and fault.kind == "slow" else 0))
        if fault is not None and fault.kind == "reset":
            raw_protocol.reset(scope["state"]["transport"])
            await _until_gone(receive)
            return
        answer = await self._answer(request, fault, scope, receive)
        self._date(answer)
        record.status = answer.status
        await _deliver(answer, fault, scope, receive, send)

    async def _answer(
        self, request: RequestInfo, fault: Fault | None, scope: Scope, receive: Receive
    ) -> raw_protocol.Answer:
        now = self._emulator.world.now
        if fault is not None and fault.kind not in SPOIL:
            return replace_answer(fault, request, now, self._emulator.port)
        answer = self._refuse(request, now) or await _ask(self._app, scope, receive)
        if fault is not None:
            spoil(fault, answer)
        return answer

    def _refuse(self, request: RequestInfo, now: dt.datetime) -> raw_protocol.Answer | None:
        behaviour = self._emulator.behaviour
        wait = self._wait_for_token(behaviour.rate_limit)
        if wait > 0:
            return too_many(wait, behaviour.retry_after, now)
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(key.strip().encode(), self._emulator.api_key.encode())
        if scheme.lower() != "apikey" or not right:
            return error(behaviour.bad_key_status)
        return error(422) if behaviour.feature_disabled else None

    def _wait_for_token(self, rate: float | None) -> float:
        """Take a token from a bucket that holds a second's worth; else say how long until there is one."""
        if rate is None:
            return 0
        now = time.monotonic()
        self._tokens = min(max(rate, 1), self._tokens + (now - self._refilled_at) * rate)
        self._refilled_at = now
        if self._tokens < 1:
            return (1 - self._tokens) / rate
        self._tokens -= 1
        return 0

    def _date(self, answer: raw_protocol.Answer) -> None:
        behaviour = self._emulator.behaviour
        if behaviour.date_header == "ok":
            shown = self._emulator.world.now + behaviour.clock_skew
            answer.headers["date"] = format_datetime(shown, usegmt=True)
        elif behaviour.date_header == "garbage":
            answer.headers["date"] = "the day after tomorrow"


def _read(scope: Scope) -> RequestInfo:
    return RequestInfo(
        method=scope["method"],
        path=scope["path"],
        query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
    )


async def _ask(app: ASGIApp, scope: Scope, receive: Receive) -> raw_protocol.Answer:
    """Let the application answer, and keep what it would have sent."""
    answer = raw_protocol.Answer(500, b"")

    async def keep(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {
                name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]
            }
        else:
            answer.body += message.get("body", b"")

    await app(scope, receive, keep)
    return answer


async def _deliver(
    answer: raw_protocol.Answer, fault: Fault | None, scope: Scope, receive: Receive, send: Send
) -> None:
    transport: Any = scope["state"]["transport"]
    if fault is not None and fault.kind == "reset_mid_body":
        await raw_protocol.reset_mid_body(transport, answer)
        await _until_gone(receive)
    elif fault is not None and fault.kind == "wrong_length":
        raw_protocol.send_short(transport, answer)
        await _until_gone(receive)
    else:
        headers = answer.headers | {"content-length": str(len(answer.body))}
        lines = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": lines})
        await send({"type": "http.response.body", "body": answer.body})


async def _until_gone(receive: Receive) -> None:
    """Wait until the server has seen the connection end; returning earlier would count as a bug."""
    while (await receive())["type"] != "http.disconnect":
        pass
