"""The state of a running emulator, which its routes, its middleware and its tests share."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from etl.emulator.behaviour import Behaviour, Fault, RequestInfo
    from etl.emulator.world import World

# Has the form of a real key, with a dollar sign, so that missing quotes in a shell show up here first.
API_KEY = "1234$9f0c5be1d2a84f7793c6e0ab51d87f64c2e19a5b"
_MAX_LOGGED = 200_000


@dataclass(eq=False)
class Emulator:
    """A running server: its address, its API key, the world it serves, and its request log."""

    world: World
    behaviour: Behaviour
    host: str
    address: str
    port: int
    api_key: str
    allowed: Iterable[str]
    served: int = 0
    writes: int = 0
    failure: Exception | None = None
    """The first exception raised by the hook or by the emulator itself."""
    _list_requests: int = 0
    _log: deque[RequestInfo] = field(default_factory=lambda: deque(maxlen=_MAX_LOGGED))

    @property
    def base_url(self) -> str:
        """The URL to give to clients."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def requests(self) -> list[RequestInfo]:
        """The requests since the last reset of the log, except those to `/_emulator/`."""
        with self.world.lock:
            return list(self._log)

    def reset_log(self) -> None:
        """Clear the request log and the counters."""
        with self.world.lock:
            self._log.clear()
            self._list_requests = self.served = self.writes = 0

    def inject(self, *faults: Fault) -> None:
        """Add faults, which affect the next matching requests."""
        with self.world.lock:
            self.behaviour.faults.extend(faults)

    def log_request(self, request: RequestInfo) -> None:
        """Add a request to the log."""
        with self.world.lock:
            self._log.append(request)
            self.served += 1
            self.writes += request.method not in {"GET", "HEAD", "OPTIONS"}

    def next_page_cap(self) -> int:
        """Count a list request, and return the largest page size granted to it."""
        self._list_requests += 1
        due = [first for first in self.behaviour.page_cap_schedule if first <= self._list_requests]
        return self.behaviour.page_cap_schedule[max(due)] if due else self.behaviour.page_cap
