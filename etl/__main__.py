"""The command `gcore-etl`, also available as `python -m etl`."""

from __future__ import annotations

import contextlib
import gc
import os
import sys

# Python would look for garbage after every 700 new objects. Imports create 120,000, which all stay.
GC_THRESHOLD = 200_000


def main() -> None:
    """Run the command line."""
    gc.set_threshold(GC_THRESHOLD)
    _fill_standard_streams()
    try:
        from etl.cli import cli

        cli(prog_name="gcore-etl")
    finally:
        _abandon_output()
        # So that Python does not look for garbage once more: the system frees all memory.
        gc.freeze()


def _fill_standard_streams() -> None:
    """Open /dev/null for closed standard streams, so that no other file gets their descriptor numbers."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
    if sys.stdin is None:  # so that a question is not confirmed
        sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115 - stays open until the process ends


def _abandon_output() -> None:
    """Discard output that cannot be written and was reported already, so that Python does not fail on it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    main()
