"""
The command as a real process, which a test may stop, starve or kill.

Starting Python and loading the program takes a second; a test that kills it a hundred times has not got them.
A `Nursery` forks its children from a process that has loaded it and done nothing, `support.driver`; each has
connections, threads, signals and an exit code of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from etl.emulator import Emulator

PATIENCE = 60.0
# Whatever whoever runs the tests has set: what is not printed waits in a buffer, as it does for users.
BUFFERED = {"PYTHONUNBUFFERED": ""}
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
# Of a process, so that a small world fills several batches.
SMALL_BATCHES = {"etl.sync.batch.BATCH_ROWS": 20, "etl.sync.archive.BATCH_RESULTS": 10}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """
    When a child sends itself a signal: just before, or just after, the nth of something.

    That is `statement`, `commit` (of a transaction that wrote), or a part of the text of some statements.
    """

    what: str
    number: int = 1
    is_after: bool = False
    signal: int = signal.SIGKILL


class Ended(NamedTuple):
    """How a process ended; `passed` counts the statements and commits of one that ended by itself."""

    code: int
    out: str
    err: str
    passed: dict[str, int]

    @property
    def complaints(self) -> list[str]:
        """Give the lines on stderr that are no warnings from a log, without the time that some begin with."""
        lines = [line for line in self.err.splitlines() if not re.match(rf"{TIME} WARNING ", line)]
        return [re.sub(rf"^{TIME}  ", "", line) for line in lines]


def wait_until(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Return as soon as `condition` holds; fail when it does not in so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.005)


def environment_for(emulator: Emulator, database_url: str, **settings: object) -> dict[str, str]:
    """Give the variables that point the command at an emulator and a database."""
    return {
        "GCORE_API_KEY": emulator.api_key,
        "GCORE_BASE_URL": emulator.base_url,
        "GCORE_ETL_DATABASE_URL": database_url,
        **{f"GCORE_ETL_{name.upper()}": str(value) for name, value in settings.items()},
    }


def start_command(
    environment: dict[str, str], *arguments: str, stdout: Any = subprocess.PIPE
) -> subprocess.Popen[str]:
    """Start the command as a shell does."""
    return subprocess.Popen(
        [sys.executable, "-m", "etl", *arguments],
        env={**os.environ, **BUFFERED, **environment},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


def sessions(database_url: str, *, idle_for: float = 0) -> list[int]:
    """Give the process ids of the server's sessions with the command, idle or not, or idle for so long."""
    query = (
        "SELECT pid FROM pg_stat_activity"
        " WHERE datname = current_database() AND starts_with(application_name, 'gcore-etl')"
        " AND (%(seconds)s = 0"
        " OR state = 'idle' AND now() - state_change > make_interval(secs => %(seconds)s))"
    )
    with psycopg.connect(database_url) as connection:
        return [pid for (pid,) in connection.execute(query, {"seconds": idle_for})]


def await_release(database_url: str) -> None:
    """Wait until the server has noticed that whoever was connected is dead; files need no such time."""
    if not database_url.startswith("sqlite"):
        wait_until(lambda: not sessions(database_url), "the server lets go of a dead client")


class Child:
    """One process out of a nursery."""

    def __init__(self, folder: Path) -> None:
        self.pid = 0
        self.is_over = False
        self.news: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
        self._folder = folder

    def await_start(self) -> None:
        """Wait until it has been forked."""
        self.pid = self._await("started")

    def await_stop(self) -> None:
        """Wait until SIGSTOP has stopped it."""
        self._await("stopped")

    def await_end(self, seconds: float = PATIENCE) -> Ended:
        """Wait until it has ended; raises queue.Empty if it does not in so many seconds."""
        code = self._await("ended", seconds)
        passed = self._folder / "passed"
        # Killed while it wrote the file, it leaves an empty one.
        counts = json.loads((passed.exists() and passed.read_text()) or "{}")
        return Ended(code, self.said(), self.complained(), counts)

    def said(self) -> str:
        """Give what it has printed so far."""
        return (self._folder / "out").read_text()

    def complained(self) -> str:
        """Give what it has printed on stderr so far."""
        return (self._folder / "err").read_text()

    def attempts(self) -> int:
        """Count how often it has tried to lock a file."""
        return len((self._folder / "attempts").read_bytes())

    def await_sleep(self) -> None:
        """
        Wait until it waits for something, where the system tells.

        A signal that comes just before it falls asleep may sleep with it.
        """
        stat = Path(f"/proc/{self.pid}/stat")
        calm = 0
        while calm < 5 and stat.exists():
            calm = calm + 1 if stat.read_text().rpartition(")")[2].split()[0] == "S" else 0
            time.sleep(0.005)

    def send(self, number: int) -> None:
        """Send it a signal."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def end_after(self, seconds: float, number: int = signal.SIGKILL) -> Ended:
        """Let it run for so long, then send it a signal; it may have ended before."""
        try:
            return self.await_end(seconds)
        except queue.Empty:
            self.send(number)
            return self.await_end()

    def destroy(self) -> None:
        """End it, whatever it is doing."""
        while self.pid and not self.is_over:
            self.send(signal.SIGKILL)
            self.is_over = self.news.get(timeout=PATIENCE)[0] == "ended"

    def _await(self, wanted: str, seconds: float = PATIENCE) -> int:
        event, number = self.news.get(timeout=seconds)
        self.is_over = event == "ended"
        if event != wanted:
            raise AssertionError(f"the process {event} ({number}), and should have {wanted}")
        return number


class Nursery:
    """
    Forks processes that run the command; use it in `with`.

    The first of them may be started behind a `prefix`, such as that of a sandbox, in which it needs a `place`
    that can be written. What it must not have loaded already is `unloaded`.
    """

    def __init__(
        self, prefix: Sequence[str] = (), place: Path | None = None, unloaded: Sequence[str] = ()
    ) -> None:
        self._prefix, self._place, self._unloaded = prefix, place, unloaded

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        self._folder = Path(
            self._stack.enter_context(tempfile.TemporaryDirectory(prefix="gcore-etl-", dir=self._place))
        )
        self._folder.chmod(0o711)
        self._numbers = itertools.count()
        self._children: dict[str, Child] = {}
        driver = Path(__file__).with_name("driver.py")
        self._mother = subprocess.Popen(
            [*self._prefix, sys.executable, "-P", driver, *self._unloaded],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()
        assert self._mother.stdin is not None
        assert self._mother.stdout is not None
        self._mother.stdin.close()
        self._mother.wait(timeout=PATIENCE)
        self._listener.join(timeout=PATIENCE)
        self._mother.stdout.close()
        self._stack.close()

    def start(
        self,
        environment: dict[str, str],
        *arguments: str,
        moment: Moment | None = None,
        constants: dict[str, Any] | None = None,
        file_bytes: int | None = None,
        user: tuple[int, int] | None = None,
        umask: int | None = None,
    ) -> Child:
        """
        Start the command with these arguments.

        `constants` of modules, by their full names, are set first; no file may grow beyond `file_bytes`. Root
        can have it run by another `user`, of a group.
        """
        name = str(next(self._numbers))
        folder = self._folder / name
        folder.mkdir()
        # Whoever it runs as writes into it.
        folder.chmod(0o777)
        for each in ("out", "err", "attempts"):
            (folder / each).touch()
        child = self._children[name] = Child(folder)
        order = {
            "name": name,
            "folder": str(folder),
            "arguments": arguments,
            "environment": environment,
            "moment": dataclasses.asdict(moment) if moment else None,
            "constants": constants or {},
            "file_bytes": file_bytes,
            "user": user,
            "umask": umask,
        }
        assert self._mother.stdin is not None
        self._mother.stdin.write(json.dumps(order) + "\n")
        self._mother.stdin.flush()
        child.await_start()
        return child

    def run(self, environment: dict[str, str], *arguments: str, **options: Any) -> Ended:
        """Start the command and wait until it has ended."""
        return self.start(environment, *arguments, **options).await_end()

    def clear(self) -> None:
        """End every child that is left."""
        for child in self._children.values():
            child.destroy()
        self._children.clear()

    def _listen(self) -> None:
        assert self._mother.stdout is not None
        for line in self._mother.stdout:
            name, event, number = json.loads(line)
            self._children[name].news.put((event, number))
