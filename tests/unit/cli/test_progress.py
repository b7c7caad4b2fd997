"""A progress bar does not fail the sync when its terminal closes."""

from __future__ import annotations

import errno
import io
import sys

import pytest

from etl.cli.run_report import progress_bar
from etl.sync.summary import Progress, RunSummary


class Terminal(io.StringIO):
    """A terminal that may hang up."""

    has_hung_up = False

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.has_hung_up:
            raise OSError(errno.EIO, "Input/output error")
        return super().write(text)


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_closed_terminal_does_not_fail_the_block(monkeypatch, is_gone):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("threading.excepthook", lambda _what: None)  # of the thread that draws
    with progress_bar() as observe:
        observe(RunSummary(), Progress("tasks", 1, 10))
        terminal.has_hung_up = is_gone
        observe(RunSummary(), Progress("tasks", 10, 10))
    assert "tasks" in terminal.getvalue() or is_gone


def test_an_exception_in_the_block_is_raised(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.raises(ZeroDivisionError), progress_bar():
        raise ZeroDivisionError
