"""The emulator on a real socket, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn

from etl.emulator.app import make_app
from etl.emulator.behaviour import Behaviour, Fault, RequestInfo
from etl.emulator.raw_protocol import RawProtocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from etl.emulator.world import World

# Shaped like a real key. The dollar is there because shells eat it, and that should show here first.
API_KEY = "1234$9f0c5be1d2a84f7793c6e0ab51d87f64c2e19a5b"
_KEPT_REQUESTS = 200_000


@dataclass(slots=True)
class RequestRecord:
    """A line of the log. The status is 0 until there is an answer, and remains so if there was none."""

    method: str
    path: str
    query: dict[str, str]
    header_names: frozenset[str]
    authorized: bool
    """Whether an Authorization header came along, whatever was in it."""
    target: str
    """`list`, `detail` or `other`."""
    status: int = 0


class Emulator:
    """A running server: its address and key, the world it serves, and what it was asked."""

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        world: World,
        behaviour: Behaviour,
        host: str,
        listener: socket.socket,
        api_key: str,
        allowed: Iterable[str],
    ) -> None:
        self.world, self.behaviour = world, behaviour
        self.host, self.api_key, self.allowed = host, api_key, allowed
        self.address, port, *_ = listener.getsockname()
        self.port: int = port
        self.base_url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self._log: deque[RequestRecord] = deque(maxlen=_KEPT_REQUESTS)
        self._lists = self.served = self.writes = 0
        self.failure: Exception | None = None
        """The first exception that came out of the hook, or of the emulator itself."""

    @property
    def requests(self) -> list[RequestRecord]:
        """Every request since the log was last reset, except those to `/_emulator/`."""
        with self.world.lock:
            return list(self._log)

    def reset_log(self) -> None:
        """Forget the requests, and count list requests from one again."""
        with self.world.lock:
            self._log.clear()
            self._lists = self.served = self.writes = 0

    def inject(self, *faults: Fault) -> None:
        """Let these go wrong next."""
        with self.world.lock:
            self.behaviour.faults.extend(faults)

    def note(self, request: RequestInfo) -> RequestRecord:
        """Write a request into the log."""
        record = RequestRecord(
            request.method,
            request.path,
            dict(request.query),
            frozenset(request.headers),
            "authorization" in request.headers,
            request.target,
        )
        with self.world.lock:
            self._log.append(record)
            self.served += 1
            self.writes += request.method not in {"GET", "HEAD", "OPTIONS"}
        return record

    def grant_page(self) -> int:
        """Count a list request, and say how large a page it may have."""
        self._lists += 1
        due = [after for after in self.behaviour.page_cap_schedule if after <= self._lists]
        return self.behaviour.page_cap_schedule[max(due)] if due else self.behaviour.page_cap


class _Server(uvicorn.Server):
    """Uvicorn without its polling: it stops when told, at once, and drops whoever is still connected."""

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
        # Connections first: to uvicorn, a request that ends unanswered on a living one is an error to report.
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()
        await asyncio.gather(*self.server_state.tasks, return_exceptions=True)
        for server in self.servers:
            await server.wait_closed()


def _listen(host: str, port: int) -> socket.socket:
    # asyncio switches Nagle's delay off only where the protocol is named; without it each answer, head and
    # body being two writes, waits 40 ms for the client's delayed acknowledgement.
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
    Serve the world on a socket: ready when the block begins, nothing left of it when it ends.

    `allowed` are further host names under which it lets itself be steered.

    What was raised in the server's thread, a failed assertion in the hook for one, is raised at the end.
    """
    with _listen(host, port) as listener:
        emulator = Emulator(world, behaviour or Behaviour(), host, listener, api_key, allowed)
        config = uvicorn.Config(
            make_app(emulator),
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
