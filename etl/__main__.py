"""The command `gcore-etl`, also as `python -m etl`."""

from __future__ import annotations

import contextlib
import os
import sys


def main() -> None:
    """Run the command line; the import waits so that nothing is loaded before it is needed."""
    _fill_standard_streams()
    try:
        from etl.cli import cli

        cli(prog_name="gcore-etl")
    finally:
        _abandon_output()


def _fill_standard_streams() -> None:
    """Let no file or socket take the number of a standard stream that is closed: libraries write there."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stdin is None:  # nobody answers a question
        sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115 - a descriptor, open to the end


def _abandon_output() -> None:
    """Leave nothing for Python to print at its end: what could not be printed was reported, and is lost."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    main()
