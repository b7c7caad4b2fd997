"""
The HTTP source of all benchmarks, which serves records that were rendered once.

A response is a head, a slice of records joined by commas, and a tail. It takes a fraction of a millisecond
for a thousand records, in a process of its own, so that the benchmarks measure the reader and not the
source.
"""

from __future__ import annotations

import bisect
import dataclasses
import datetime as dt
import email.utils
import random
import re
import socket
import threading
import time
import uuid
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from etl.emulator import TERMINAL, Behaviour, World
from etl.emulator.render import dump, make_record

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection
    from pathlib import Path

TASKS_PATH = "/streaming/ai/tasks"
SEED = 20
NOW = dt.datetime(2026, 6, 26, 12, tzinfo=dt.UTC)
# The number of generated records; the others are copies with different ids.
DISTINCT = 10_000
SOME_RESULTS = 500
_ID = re.compile(rb'(?<="task_id":")[^"]+')
_START = re.compile(rb'"started_at":"([^"]+)"')
_STATUS = re.compile(rb'"status":"([^"]+)"')


def write_records(path: Path, number: int) -> None:
    """Write records of finished tasks, one per line; reproducible for the same number."""
    world = World.seeded(min(number, DISTINCT), seed=SEED, now=NOW, span=dt.timedelta(days=90))
    for task in list(world.tasks.values()):
        if task.status not in TERMINAL:
            world.finish(task.task_id)
    rendered = [dump(make_record(task, Behaviour())) for task in world.tasks.values()]
    chance = random.Random(SEED)  # noqa: S311 - ids, not secrets
    with path.open("wb") as file:
        for place in range(number):
            fresh = str(uuid.UUID(int=chance.getrandbits(128), version=4)).encode()
            file.write(_ID.sub(fresh, rendered[place % len(rendered)], count=1) + b"\n")


def render_results() -> list[bytes]:
    """Return results of tasks that succeeded or failed: transcripts, detections and errors."""
    world = World.seeded(SOME_RESULTS, seed=SEED, now=NOW, span=dt.timedelta(days=20))
    for task in list(world.tasks.values()):
        if task.status not in TERMINAL:
            world.finish(task.task_id)
    return [dump(task.result) for task in world.tasks.values() if task.result is not None]


class Records:
    """The records, by the parameters of a list request."""

    def __init__(self, lines: list[bytes]) -> None:
        self.by_id = {_found(_ID, line): line for line in lines}
        starts = sorted((_found(_START, line), task_id) for task_id, line in self.by_id.items())
        self._starts = [start for start, _ in starts]
        self._oldest_first = [task_id for _, task_id in starts]
        self._lists: dict[tuple[str, ...], list[bytes]] = {}

    def select(self, query: Mapping[str, str]) -> list[bytes]:
        """Return the records of one list, from the cache if it was requested before."""
        key = tuple(query.get(name, "") for name in ("task_id", "status", "date_created", "ordering"))
        if key not in self._lists:
            self._lists[key] = self._find(*key)
        return self._lists[key]

    def _find(self, task_id: str, status: str, since: str, ordering: str) -> list[bytes]:
        ids = self._oldest_first[bisect.bisect_left(self._starts, since) :]
        if task_id:
            ids = [each for each in ids if each == task_id]
        ids = sorted(ids) if ordering == "task_id" else ids[::-1]
        lines = [self.by_id[each] for each in ids]
        return [line for line in lines if not status or _found(_STATUS, line) == status]


def _found(pattern: re.Pattern[bytes], line: bytes) -> str:
    match = pattern.search(line)
    return "" if match is None else match[match.re.groups].decode()


@dataclasses.dataclass(slots=True)
class Throttle:
    """The delay of responses, and a rate limit above which the response is 429."""

    latency: float = 0.0
    rate: float | None = None
    window: float | None = None
    passed: int = 0
    refused: int = 0
    _tokens: float = 1.0
    _filled_at: float = 0.0
    _lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def passes(self) -> bool:
        """
        Take a token; return whether there was one.

        A bucket holds the tokens of one second; a window has all of its own when it begins, and none later.
        """
        with self._lock:
            now = time.monotonic()
            rate = self.rate or float("inf")
            if self.window is None:
                self._tokens = min(max(rate, 1.0), self._tokens + (now - self._filled_at) * rate)
            elif now // self.window != self._filled_at // self.window:
                self._tokens = rate * self.window
            self._filled_at = now
            if self._tokens < 1:
                self.refused += 1
                return False
            self._tokens -= 1
            self.passed += 1
            return True


class Source:
    """An HTTP/1.1 server on the loopback interface, with a thread for each connection."""

    def __init__(self, records: Records, throttle: Throttle, page_cap: int) -> None:
        self._records, self._throttle, self._page_cap = records, throttle, page_cap
        self._results = render_results()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def serve_forever(self) -> None:
        """Accept connections until the process ends."""
        while True:
            connection, _ = self._listening.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection:
            waiting = b""
            while True:
                while b"\r\n\r\n" not in waiting:
                    received = connection.recv(65536)
                    if not received:
                        return
                    waiting += received
                request, _, waiting = waiting.partition(b"\r\n\r\n")
                connection.sendall(self._answer(request.split(b" ", 2)[1].decode()))

    def _answer(self, target: str) -> bytes:
        url = urlsplit(target)
        if url.path == "/figures":
            return _response(200, dump({"passed": self._throttle.passed, "refused": self._throttle.refused}))
        if self._throttle.latency:
            time.sleep(self._throttle.latency)
        if not self._throttle.passes():
            return _response(429, b'{"error":"too many requests"}')
        if url.path.startswith(f"{TASKS_PATH}/"):
            return self._detail(url.path.removeprefix(f"{TASKS_PATH}/"))
        if url.path != TASKS_PATH:
            return _response(404, b'{"error":"not found"}')
        query = dict(parse_qsl(url.query))
        records = self._records.select(query)
        limit = min(int(query.get("limit", 10)), self._page_cap)
        page = int(query.get("page", 1))
        start, count = (page - 1) * limit, len(records)
        following = f'"page={page + 1}"' if start + limit < count else "null"
        head = f'{{"count":{count},"next":{following},"previous":null,"results":['
        return _response(200, b"".join((head.encode(), b",".join(records[start : start + limit]), b"]}")))

    def _detail(self, task_id: str) -> bytes:
        line = self._records.by_id.get(task_id)
        if line is None:
            return _response(404, b'{"error":"not found"}')
        result = self._results[hash(task_id) % len(self._results)]
        return _response(200, b"".join((line[:-1], b',"result":', result, b"}")))


def _response(status: int, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status} {'OK' if status == 200 else 'Other'}\r\n"
        f"Date: {email.utils.formatdate(usegmt=True)}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SourceBehaviour:
    """
    The behaviour of the source: delay in seconds, requests per second, and maximum page size.

    With a `window` in seconds, the requests are counted per window.
    """

    latency: float = 0.0
    rate: float | None = None
    window: float | None = None
    page_cap: int = 1000


def serve(path: Path, behaviour: SourceBehaviour, started: Connection) -> None:
    """Serve a file of records, and send the URL to `started`."""
    throttle = Throttle(behaviour.latency, behaviour.rate, behaviour.window)
    source = Source(Records(path.read_bytes().splitlines()), throttle, behaviour.page_cap)
    started.send(source.url)
    source.serve_forever()
