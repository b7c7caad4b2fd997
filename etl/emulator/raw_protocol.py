"""Responses written to the socket directly, to emulate broken connections."""

from __future__ import annotations

import asyncio
import http
import socket
import struct
from dataclasses import dataclass, field

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


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


@dataclass(slots=True)
class RawResponse:
    """A complete response, before it is sent."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    def head(self, length: int) -> bytes:
        """Return the status line and headers, with any Content-Length."""
        lines = [f"HTTP/1.1 {self.status} {http.HTTPStatus(self.status).phrase}"]
        headers = self.headers | {"content-length": str(length)}
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def reset(transport: asyncio.Transport) -> None:
    """Close the connection with an RST: the client sees `connection reset by peer`."""
    if transport.is_closing():  # the client closed it first
        return
    peer = transport.get_extra_info("socket")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def reset_mid_body(transport: asyncio.Transport, response: RawResponse) -> None:
    """Send half of the body, then reset the connection."""
    transport.write(response.head(len(response.body)) + response.body[: len(response.body) // 2])
    await asyncio.sleep(0.01)
    reset(transport)


def send_short(transport: asyncio.Transport, response: RawResponse) -> None:
    """Send fewer bytes than Content-Length says, and close the connection."""
    transport.write(response.head(len(response.body) + 100) + response.body)
    transport.close()
