"""The emulator on a real socket, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import uvicorn

from etl.emulator.app import App
from etl.emulator.behaviour import Behaviour
from etl.emulator.raw_protocol import RawProtocol
from etl.emulator.state import API_KEY, Emulator

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from etl.emulator.world import World


class _Server(uvicorn.Server):
    """Uvicorn without polling: it stops at once, and drops open connections."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def main_loop(self) -> None:
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
        self.ready.set()
        await self.stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        for server in self.servers:
            server.close()
        # Connections first: uvicorn logs an error for a request that ends without a response on an open one.
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()
        await asyncio.gather(*self.server_state.tasks, return_exceptions=True)
        for server in self.servers:
            await server.wait_closed()


def _listen(host: str, port: int) -> socket.socket:
    # asyncio disables Nagle's algorithm only if the protocol is given. Otherwise each response, which is
    # written in two parts, waits 40 ms for the client's delayed acknowledgement.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except BaseException:
        listener.close()
        raise
    return listener


@contextlib.contextmanager
def serve(  # noqa: PLR0913
    world: World,
    behaviour: Behaviour | None = None,
    port: int = 0,
    *,
    host: str = "127.0.0.1",
    api_key: str = API_KEY,
    allowed: Iterable[str] = (),
) -> Iterator[Emulator]:
    """
    Serve the world on a socket during the block.

    `allowed` are additional host names under which `/_emulator/` is served. The first exception in the
    server's thread, such as a failed assertion in the hook, is raised at the end of the block.
    """
    with _listen(host, port) as listener:
        address, bound_port, *_ = listener.getsockname()
        emulator = Emulator(world, behaviour or Behaviour(), host, address, bound_port, api_key, allowed)
        config = uvicorn.Config(
            App(emulator),
            http=RawProtocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
        )
        server = _Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), name="emulator", daemon=True)
        thread.start()
        if not server.ready.wait(timeout=30):
            raise RuntimeError("the emulator did not start")
        try:
            yield emulator
        finally:
            server.loop.call_soon_threadsafe(server.stop.set)
            thread.join()
    if emulator.failure is not None:
        raise emulator.failure
