"""
Cooperative stop: a stop is requested, and the work ends in order at its next check.

Nothing is raised from a signal handler or into another thread. See docs/decisions/0013-cooperative-stop.md.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from etl.errors import Interrupted, Stopped, TimedOut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Stop:
    """
    A request to stop, which any thread may make and every thread can see.

    Loops call `check` between their steps, and `wait` instead of sleeping. What cannot check, such as a
    database statement in progress, registers a callback that cancels it.
    """

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.RLock()
        self._callbacks: list[Callable[[], object]] = []
        # What `check` raises; None until a stop is requested.
        self.error: Stopped | None = None

    def is_set(self) -> bool:
        """Return whether a stop has been requested."""
        return self.error is not None

    def set(self, error: Stopped | None = None) -> None:
        """
        Request a stop, and call the registered callbacks; only the first request counts.

        Do not call it from a signal handler: the thread that the handler interrupts may hold the locks that
        are needed here. `etl.cli.signals` calls it from a thread of its own.
        """
        with self._lock:
            if self.error is not None:
                return
            self.error = error or Interrupted()
            self._event.set()
            for callback in tuple(self._callbacks):
                callback()

    def check(self) -> None:
        """Raise Stopped (by default Interrupted) if a stop has been requested."""
        if self.error is not None:
            raise self.error

    def wait(self, seconds: float) -> None:
        """Return after so many seconds; raise Stopped as soon as a stop is requested."""
        self._event.wait(min(seconds, threading.TIMEOUT_MAX))
        self.check()

    @contextlib.contextmanager
    def on_stop(self, callback: Callable[[], object]) -> Iterator[None]:
        """
        Call `callback` once, in the thread that requests the stop, if that is during this block or before.

        The end of the block waits for a callback in progress: none runs after it.
        """
        with self._lock:
            self._callbacks.append(callback)
            if self.error is not None:
                callback()
        try:
            yield
        finally:
            with self._lock:
                self._callbacks.remove(callback)


@contextlib.contextmanager
def stop_of_run(stop: Stop | None, deadline: float | None) -> Iterator[Stop]:
    """
    Yield a Stop for one run; it is also set when the caller's `stop` is, and at the deadline.

    `deadline` is on the monotonic clock. A timer enforces it, so it also cancels a statement in progress.
    """
    own = Stop()
    with contextlib.ExitStack() as stack:
        if stop is not None:
            stack.enter_context(stop.on_stop(lambda: own.set(stop.error)))
        if deadline is not None:
            seconds = max(0.0, deadline - time.monotonic())
            timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), own.set, [TimedOut(seconds)])
            timer.daemon = True
            timer.start()
            stack.callback(timer.cancel)
        yield own
