"""
What SIGINT, SIGTERM and SIGHUP do to a command.

A sync is asked to stop, and ends in order; see docs/decisions/0013-cooperative-stop.md. Commands that only
read have nothing to put in order: for them SIGTERM is what Ctrl-C is to Python.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, NoReturn

from etl.errors import Interrupted
from etl.stop import Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_STOP = (signal.SIGINT, signal.SIGTERM)
# The terminal was closed, or the connection that it came over.
_HANG_UP = (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()
# Two signals that come together, as a service manager or a closing terminal sends them, are one request.
_TOGETHER_SECONDS = 0.1


@contextlib.contextmanager
def stop_on_signals(note: str = "") -> Iterator[Stop]:
    """
    Yield a Stop that the first signal sets, with this note in its error; a second one ends the process.

    A hang-up that is ignored, as under nohup, stays ignored. Only the main thread can receive signals: in
    another one, the Stop is never set.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    receiver, sender = socket.socketpair()
    sender.settimeout(0)
    listener = threading.Thread(target=_listen, args=(receiver, stop, note), daemon=True)
    listener.start()
    fd_before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    try:
        with _handled(_handle_once()):
            yield stop
    finally:
        signal.set_wakeup_fd(fd_before)
        sender.close()
        listener.join()
        receiver.close()


def _listen(receiver: socket.socket, stop: Stop, note: str) -> None:
    """
    Set the stop at the first signal, from this thread.

    The interpreter writes each signal's number to the socket at once, while a handler in Python waits for
    the main thread to come back from what it is doing, such as a statement of a database.
    """
    set_at = None
    while received := receiver.recv(1):
        number = received[0]
        if number not in {*_STOP, *_HANG_UP}:
            continue
        if set_at is None:
            stop.set(Interrupted(number, note))
            set_at = time.monotonic()
        elif time.monotonic() - set_at > _TOGETHER_SECONDS:
            # The main thread has not even reached the handler of the first one.
            os._exit(128 + number)


def _handle_once() -> Callable[[int, object], None]:
    """Return a handler that leaves the next signal to the system, which ends the process."""
    called_at: list[float] = []

    def handle(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        called_at.append(time.monotonic())
        if called_at[-1] - called_at[0] > _TOGETHER_SECONDS:
            signal.raise_signal(number)

    return handle


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """
    Raise Interrupted out of this block at a signal, by way of Python's KeyboardInterrupt.

    For commands that only read: the files and connections they have open close themselves. Outside the main
    thread, which alone receives signals, this does nothing.
    """
    received: list[int] = []

    def handle(number: int, _frame: object) -> NoReturn:
        signal.signal(number, signal.SIG_DFL)
        received.append(number)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    try:
        with _handled(handle):
            yield
    except KeyboardInterrupt:
        raise Interrupted(received[0] if received else signal.SIGINT) from None


@contextlib.contextmanager
def _handled(handler: Callable[[int, object], None]) -> Iterator[None]:
    before = {
        number: signal.getsignal(number)
        for number in (*_STOP, *_HANG_UP)
        if number not in _HANG_UP or signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        for number in before:
            signal.signal(number, handler)
        yield
    finally:
        for number, handler_before in before.items():
            signal.signal(number, handler_before)
