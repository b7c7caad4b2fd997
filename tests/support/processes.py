"""
The command as a real process, which a test may stop, limit or kill.

Starting Python and loading the program takes a second, which is too long for a test that kills it a hundred
times. So a `Nursery` forks its children from a process that has already loaded the program,
`support.driver`. Each child has its own connections, threads, signals and exit code.
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
# Output is buffered, as it is for users, whatever the environment of the tests says.
BUFFERED = {"PYTHONUNBUFFERED": ""}
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
# Constants for a child, so that a small world fills several batches.
SMALL_BATCHES = {"etl.sync.batch.BATCH_ROWS": 20, "etl.sync.archive.BATCH_RESULTS": 10}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """
    When a child sends itself a signal: before or after the nth occurrence of an event.

    `what` is `statement`, `commit` (of a transaction that wrote), or a part of the text of statements.
    """

    what: str
    number: int = 1
    is_after: bool = False
    signal: int = signal.SIGKILL


class Ended(NamedTuple):
    """The end of a process; `passed` counts its statements and commits, unless it was killed."""

    code: int
    out: str
    err: str
    passed: dict[str, int]

    @property
    def complaints(self) -> list[str]:
        """The lines on stderr that are not log warnings, without their timestamps."""
        lines = [line for line in self.err.splitlines() if not re.match(rf"{TIME} WARNING ", line)]
        return [re.sub(rf"^{TIME}  ", "", line) for line in lines]


def wait_until(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Return as soon as `condition` is true; fail if it is not after this number of seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.005)


def environment_for(emulator: Emulator, database_url: str, **settings: object) -> dict[str, str]:
    """Return the environment variables for an emulator and a database."""
    return {
        "GCORE_API_KEY": emulator.api_key,
        "GCORE_BASE_URL": emulator.base_url,
        "GCORE_ETL_DATABASE_URL": database_url,
        **{f"GCORE_ETL_{name.upper()}": str(value) for name, value in settings.items()},
    }


def start_command(
    environment: dict[str, str], *arguments: str, stdout: Any = subprocess.PIPE
) -> subprocess.Popen[str]:
    """Start the command in a new process, as a shell does."""
    return subprocess.Popen(
        [sys.executable, "-m", "etl", *arguments],
        env={**os.environ, **BUFFERED, **environment},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


def sessions(database_url: str, *, idle_for: float = 0) -> list[int]:
    """Return the process ids of the command's sessions, or of those idle for at least `idle_for` seconds."""
    query = (
        "SELECT pid FROM pg_stat_activity"
        " WHERE datname = current_database() AND starts_with(application_name, 'gcore-etl')"
        " AND (%(seconds)s = 0"
        " OR state = 'idle' AND now() - state_change > make_interval(secs => %(seconds)s))"
    )
    with psycopg.connect(database_url) as connection:
        return [pid for (pid,) in connection.execute(query, {"seconds": idle_for})]


def await_release(database_url: str) -> None:
    """Wait until the Postgres server has closed the sessions of a killed process."""
    if not database_url.startswith("sqlite"):
        wait_until(lambda: not sessions(database_url), "the server lets go of a dead client")


class Child:
    """A process started by a nursery."""

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
        """Wait until it has ended. Raises queue.Empty if it has not after this number of seconds."""
        code = self._await("ended", seconds)
        passed = self._folder / "passed"
        # The file is empty if the process was killed while it wrote it.
        counts = json.loads((passed.exists() and passed.read_text()) or "{}")
        return Ended(code, self.said(), self.complained(), counts)

    def said(self) -> str:
        """Return its stdout so far."""
        return (self._folder / "out").read_text()

    def complained(self) -> str:
        """Return its stderr so far."""
        return (self._folder / "err").read_text()

    def attempts(self) -> int:
        """Return the number of its attempts to lock a file."""
        return len((self._folder / "attempts").read_bytes())

    def await_sleep(self) -> None:
        """
        Wait until the process sleeps, on systems with /proc.

        A signal that arrives just before it sleeps may be handled only after it wakes up.
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
        """Send it a signal after this number of seconds, unless it has ended before."""
        try:
            return self.await_end(seconds)
        except queue.Empty:
            self.send(number)
            return self.await_end()

    def destroy(self) -> None:
        """Kill it."""
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

    The first process may be started with a command `prefix`, such as that of a sandbox, and then needs a
    writable folder, `place`. It does not load the modules in `unloaded`.
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

        `constants` of modules, by their full names, are set first. `file_bytes` limits the size of files. If
        the tests run as root, `user` is the user id and group id to run as.
        """
        name = str(next(self._numbers))
        folder = self._folder / name
        folder.mkdir()
        # The child writes to it as another user.
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
        """Kill all children that are still running."""
        for child in self._children.values():
            child.destroy()
        self._children.clear()

    def _listen(self) -> None:
        assert self._mother.stdout is not None
        for line in self._mother.stdout:
            name, event, number = json.loads(line)
            self._children[name].news.put((event, number))
