"""
The process from which `support.processes` forks its children.

It has loaded the program. For each order, a line on its stdin, it forks a keeper process. The keeper forks
the child, which runs like `python -m etl`, and reports on stdout when the child starts, stops and ends.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import resource
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, event
from sqlalchemy.engine.default import DefaultDialect

from etl.__main__ import main

if TYPE_CHECKING:
    from sqlalchemy import PoolProxiedConnection

LOADED = (
    "alembic.autogenerate",
    "alembic.command",
    "alembic.config",
    "encodings.idna",
    "etl.cli.db",
    "etl.cli.report",
    "etl.cli.sync",
    "etl.cli.watch",
    "etl.report",
    "etl.sync.api",
    "httpcore",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite",
)

# Moments that are counted as such, not by a part of a statement's text.
COUNTED = ("statement", "commit")
READING = ("BEGIN", "PRAGMA", "SELECT", "SHOW", "select", "show")

Order = dict[str, Any]


def take_orders() -> Order | None:
    """Fork a child for each order. Returns the order in a child, and None in this process."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # A shell starts background processes with SIGINT ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for line in sys.stdin:
        order: Order = json.loads(line)
        if os.fork() == 0:
            return _keep(order)
    return None


def _keep(order: Order) -> Order:
    """Fork the child, and report when it stops and ends; returns only in the child."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        return order
    _tell(order, "started", pid)
    while True:
        _, status = os.waitpid(pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            _tell(order, "stopped", pid)
        else:
            _tell(order, "ended", os.waitstatus_to_exitcode(status))
            os._exit(0)


def _tell(order: Order, what: str, number: int) -> None:
    os.write(1, json.dumps([order["name"], what, number]).encode() + b"\n")


def become(order: Order) -> None:
    """Set up this process as the order says, before the program runs."""
    folder = Path(order["folder"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_WRONLY), number)
    os.environ.update(order["environment"])
    sys.argv = ["gcore-etl", *order["arguments"]]
    for place, value in order["constants"].items():
        module, _, name = place.rpartition(".")
        setattr(importlib.import_module(module), name, value)
    if order["file_bytes"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_bytes"], resource.RLIM_INFINITY))
    note_attempts(folder / "attempts")
    if order["umask"] is not None:
        os.umask(order["umask"])
    if order["user"]:
        user, group = order["user"]
        os.setgroups([])
        os.setresgid(group, group, group)
        os.setresuid(user, user, user)
        # The user has no home folder, and must not use that of root.
        os.environ["HOME"] = "/nonexistent"
    watch(order["moment"], folder)


def watch(moment: dict[str, Any] | None, folder: Path) -> None:
    """Count statements and commits of writes, and send this process a signal at the given moment."""
    passed: Counter[str] = Counter()
    written: list[str] = []

    def pass_by(what: str, *, is_after: bool) -> None:
        passed[what] += not is_after
        here = {"what": what, "number": passed[what], "is_after": is_after}
        if moment is not None and moment.items() >= here.items():
            os.kill(os.getpid(), moment["signal"])

    def pass_statement(statement: str, *, is_after: bool) -> None:
        pass_by("statement", is_after=is_after)
        if not statement.lstrip().startswith(READING):
            written.append(statement)
        # A statement may contain the word `statement`, as one about statement_timeout does.
        if moment is not None and moment["what"] not in COUNTED and moment["what"] in statement:
            pass_by(moment["what"], is_after=is_after)

    def commit_and_count(_dialect: DefaultDialect, connection: PoolProxiedConnection) -> None:
        what = "commit" if written else "commit of nothing"
        pass_by(what, is_after=False)
        connection.commit()
        written.clear()
        pass_by(what, is_after=True)

    # SQLAlchemy has no event after a commit.
    DefaultDialect.do_commit = commit_and_count  # type: ignore[method-assign]
    event.listen(Engine, "before_cursor_execute", lambda *seen: pass_statement(seen[2], is_after=False))
    event.listen(Engine, "after_cursor_execute", lambda *seen: pass_statement(seen[2], is_after=True))
    atexit.register(lambda: (folder / "passed").write_text(json.dumps(passed)))


def note_attempts(report: Path) -> None:
    """Write a dot to the report for each attempt to lock a file."""
    target = os.open(report, os.O_WRONLY)

    def note(what: str, arguments: tuple[Any, ...]) -> None:
        if what == "open" and str(arguments[0]).endswith(".lock"):
            os.write(target, b".")

    sys.addaudithook(note)


if __name__ == "__main__":
    for each in LOADED:
        if each not in sys.argv[1:]:
            importlib.import_module(each)
    gc.freeze()  # so that children do not traverse these objects when they end
    given = take_orders()
    if given is not None:
        become(given)
        main()
