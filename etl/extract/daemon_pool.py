"""A few daemon threads: an interrupted run never waits for a slow server."""

from __future__ import annotations

import math
import queue
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from etl.stop import Stop

T = TypeVar("T")

_WAKE_UP_SECONDS = 0.25


def await_result(future: Future[T], end: float = math.inf, stop: Stop | None = None) -> T:
    """
    Return what a call returns, or raise what it raised; TimeoutError at `end` on the monotonic clock.

    Calls that observe a stop themselves end soon after it. For one that cannot, give the `stop`. Wakes up
    regularly: on some systems a wait without an end cannot be interrupted from the keyboard.
    """
    while True:
        if stop is not None:
            stop.check()
        try:
            return future.result(timeout=max(0.0, min(_WAKE_UP_SECONDS, end - time.monotonic())))
        except TimeoutError:
            if future.done():
                return future.result()
            if time.monotonic() >= end:
                raise


class DaemonPool:
    """
    Runs calls on daemon threads.

    The standard library's pool is joined when the interpreter exits, however long its calls still take.
    """

    def __init__(self, size: int) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(size)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for _thread in self._threads:
            self._calls.put(None)

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Queue a call and return its future, which can be cancelled until a thread starts the call."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - raised again by `future.result()`
                future.set_exception(error)

        self._calls.put(run)
        return future

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
