"""The emulator on a real socket, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.server import ServerState

from etl.emulator.app import App
from etl.emulator.behaviour import Behaviour
from etl.emulator.raw_protocol import RawProtocol
from etl.emulator.state import API_KEY, Emulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from etl.emulator.world import World

_BACKLOG = 2048


async def _serve(app: App, listener: socket.socket, started: Future[Callable[[], object]]) -> None:
    """
    Serve with uvicorn's protocol, and publish the function that ends it, which any thread may call.

    Uvicorn's own server would end later: it polls, and waits for open connections.
    """
    config = uvicorn.Config(app, ws="none", log_config=None, access_log=False, proxy_headers=False)
    loop, stop, state = asyncio.get_running_loop(), asyncio.Event(), ServerState()
    server = await loop.create_server(lambda: RawProtocol(config, state, {}), sock=listener, backlog=_BACKLOG)
    started.set_result(lambda: loop.call_soon_threadsafe(stop.set))
    await stop.wait()
    server.close()
    # Connections first: uvicorn logs an error for a request that ends without a response on an open one.
    for connection in list(state.connections):
        connection.transport.abort()
    for task in list(state.tasks):
        task.cancel()
    await asyncio.gather(*state.tasks, return_exceptions=True)
    await server.wait_closed()


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
    # asyncio disables Nagle's algorithm only if the protocol is given. Otherwise each response, which is
    # written in two parts, waits 40 ms for the client's delayed acknowledgement.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
        address, bound_port, *_ = listener.getsockname()
        emulator = Emulator(world, behaviour or Behaviour(), host, address, bound_port, api_key, allowed)
        started: Future[Callable[[], object]] = Future()
        serving = _serve(App(emulator), listener, started)
        thread = threading.Thread(target=asyncio.run, args=(serving,), name="emulator", daemon=True)
        thread.start()
        stop = started.result(timeout=30)
        try:
            yield emulator
        finally:
            stop()
            thread.join()
    if emulator.failure is not None:
        raise emulator.failure
