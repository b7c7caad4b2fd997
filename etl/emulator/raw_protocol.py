"""Answers that no well-behaved server gives: what a broken connection looks like on a real socket."""

from __future__ import annotations

import asyncio
import http
import socket
import struct
from dataclasses import dataclass, field

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class RawProtocol(HttpToolsProtocol):
    """The server's own protocol, which also shows the application its transport."""

    def on_message_begin(self) -> None:
        """Put the transport where the gate finds it."""
        super().on_message_begin()
        self.scope["state"]["transport"] = self.transport

    def on_headers_complete(self) -> None:
        """Show the application what was asked for in full, with the host if the request line names one."""
        super().on_headers_complete()
        self.scope["raw_path"] = self.url.partition(b"?")[0]


@dataclass(slots=True)
class Answer:
    """A whole answer, before it is sent."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    def head(self, length: int) -> bytes:
        """Write the head by hand, announcing any length at all."""
        lines = [f"HTTP/1.1 {self.status} {http.HTTPStatus(self.status).phrase}"]
        headers = self.headers | {"content-length": str(length)}
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def reset(transport: asyncio.Transport) -> None:
    """Drop the connection with a RST, so that the client sees `connection reset by peer`."""
    if transport.is_closing():  # the client was quicker
        return
    peer = transport.get_extra_info("socket")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def reset_mid_body(transport: asyncio.Transport, answer: Answer) -> None:
    """Send half of the body, and drop the connection once it has left."""
    transport.write(answer.head(len(answer.body)) + answer.body[: len(answer.body) // 2])
    await asyncio.sleep(0.01)
    reset(transport)


def send_short(transport: asyncio.Transport, answer: Answer) -> None:
    """Announce more than is sent, and close in an orderly way."""
    transport.write(answer.head(len(answer.body) + 100) + answer.body)
    transport.close()
