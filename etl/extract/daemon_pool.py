"""A few threads that die with the process: an interrupted run never waits for a slow server."""

from __future__ import annotations

import contextlib
import math
import queue
import signal
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

_WAKES_EVERY = 0.5  # seconds


def await_result(future: Future[T], end: float = math.inf) -> T:
    """
    Give what a call returns, or raise what it raised; TimeoutError after `end` on the monotonic clock.

    Wakes now and then: a signal that comes just before a thread begins to wait would not wake it.
    """
    while True:
        try:
            return future.result(timeout=max(0.0, min(_WAKES_EVERY, end - time.monotonic())))
        except TimeoutError:
            if future.done():
                return future.result()
            if time.monotonic() >= end:
                raise


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """
    Let no signal strike in the midst of a start, where it leaves a thread half known.

    What is started within takes over the mask: all signals are for the main thread.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class DaemonPool:
    """
    Runs calls on daemon threads.

    The standard library's pool is joined when the interpreter ends, however long its calls still take.
    """

    def __init__(self, size: int) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(size)]
        with _signals_held_back():
            for thread in self._threads:
                thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for _thread in self._threads:
            self._calls.put(None)

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Queue a call; its future can be cancelled until a thread takes it up."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - whoever asks for the result gets it
                future.set_exception(error)

        self._calls.put(run)
        return future

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
