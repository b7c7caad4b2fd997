"""A server with responses of any size, and a process whose peak memory is measured."""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import io
import json
import os
import subprocess
import sys
import threading
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, urlsplit

from support.absent import give_up
from support.processes import PATIENCE, Ended

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MIB = 1 << 20
SUCCESS = "SUCCESS"


class Body(NamedTuple):
    """The body of a response; `length` replaces the real Content-Length."""

    sent: bytes
    coding: str = ""
    length: int | None = None


def packed(start: bytes, piece: bytes, times: int, end: bytes) -> Body:
    """Return a gzip body of a few kilobytes that expands to any size, without building it in memory."""
    target = io.BytesIO()
    with gzip.GzipFile(fileobj=target, mode="wb", compresslevel=1) as file:
        file.write(start)
        for _ in range(times):
            file.write(piece)
        file.write(end)
    return Body(target.getvalue(), "gzip")


def task(number: int) -> dict[str, object]:
    """Return the record of a task that ended about an hour ago."""
    ended = dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(hours=1, minutes=number)
    return {
        "task_id": f"{number:08d}-0000-4000-8000-000000000000",
        "status": SUCCESS,
        "progress": 100,
        "task_data": {"task_name": "transcription", "url": f"https://v.example/{number}.mp4", "client_id": 1},
        "processing_time": {
            "started_at": (ended - dt.timedelta(minutes=1)).isoformat(),
            "completed_at": ended.isoformat(),
            "total_time_sec": 60,
        },
    }


def detail(number: int, result: bytes) -> bytes:
    """Return the details of a task with this result."""
    return json.dumps(task(number)).encode()[:-1] + b',"result":' + result + b"}"


@contextlib.contextmanager
def serve_bodies(details: Mapping[int, Body], page: Body | None = None) -> Iterator[str]:
    """Serve a list with a task for each detail, or `page` for every list request."""
    tasks = [task(number) for number in details]
    by_id = {str(each["task_id"]): details[number] for number, each in zip(details, tasks, strict=True)}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if "/tasks/" in url.path:
                self.say(by_id[url.path.rpartition("/")[2]])
            else:
                self.say(page or self.list({name: each[0] for name, each in parse_qs(url.query).items()}))

        def list(self, query: dict[str, str]) -> Body:
            limit, number = int(query.get("limit", 10)), int(query.get("page", 1))
            listed = [each for each in tasks if query.get("status", SUCCESS) == SUCCESS]
            listed = [each for each in listed if query.get("task_id", each["task_id"]) == each["task_id"]]
            if query.get("date_created", "") > "2030":
                listed = []
            shown = listed[(number - 1) * limit : number * limit]
            answer = {"count": len(listed), "next": None, "previous": None, "results": shown}
            return Body(json.dumps(answer).encode())

        def say(self, body: Body) -> None:
            self.send_response_only(200)
            self.send_header("Date", format_datetime(dt.datetime.now(dt.UTC), usegmt=True))
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(body.length or len(body.sent)))
            if body.coding:
                self.send_header("Content-Encoding", body.coding)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body.sent)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Ignore clients that disconnect during a response."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


_MEASURED = """
import atexit, sys
def tell():
    with open("/proc/self/status") as file:
        sys.stderr.write(next(line for line in file if line.startswith("VmHWM")))
atexit.register(tell)
sys.argv[0] = "gcore-etl"
from etl.__main__ import main
main()
"""


def measured(environment: dict[str, str], *arguments: str) -> tuple[Ended, float]:
    """Run the command to its end; return its output, and its peak memory in MB."""
    if not Path("/proc/self/status").exists():
        give_up("there is no /proc to read the peak memory from")
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    *lines, peak = done.stderr.splitlines()
    assert peak.startswith("VmHWM:"), done.stderr
    return Ended(done.returncode, done.stdout, "\n".join(lines), {}), int(peak.split()[1]) / 1000
