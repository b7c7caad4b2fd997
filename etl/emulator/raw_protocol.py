"""Uvicorn's protocol with access to the socket, to emulate broken connections."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send


class RawProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, with the transport in the scope of each request."""

    def on_message_begin(self) -> None:
        """Store the transport in the scope's state, for the middleware."""
        super().on_message_begin()
        self.scope["state"]["transport"] = self.transport

    def on_headers_complete(self) -> None:
        """Store the whole request target, including a host in the request line."""
        super().on_headers_complete()
        self.scope["raw_path"] = self.url.partition(b"?")[0]


async def reset(response: Response | None, scope: Scope, receive: Receive, send: Send) -> None:
    """
    Send half of the response, if there is one, and close the connection with an RST.

    The client sees `connection reset by peer`.
    """
    transport = scope["state"]["transport"]
    if response is not None:
        await _send(response, response.body[: len(response.body) // 2], send)
        await asyncio.sleep(0.01)
    if not transport.is_closing():  # otherwise the client closed it first
        peer = transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    await _wait_for_disconnect(receive)


async def send_short(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Send fewer bytes than Content-Length says, and close the connection."""
    response.headers["content-length"] = str(len(response.body) + 100)
    await _send(response, response.body, send)
    scope["state"]["transport"].close()
    await _wait_for_disconnect(receive)


async def _send(response: Response, part: bytes | memoryview, send: Send) -> None:
    head = {"status": response.status_code, "headers": response.raw_headers}
    await send({"type": "http.response.start", **head})
    await send({"type": "http.response.body", "body": part, "more_body": True})


async def _wait_for_disconnect(receive: Receive) -> None:
    """Wait for the end of the connection: uvicorn logs an error if the application returns before it."""
    while (await receive())["type"] != "http.disconnect":
        pass
