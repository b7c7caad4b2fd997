"""Signals that stop become one exception, so that a run is closed as interrupted and the lock given back."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from typing import TYPE_CHECKING, Self

from etl.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterable
    from sys import UnraisableHookArgs
    from types import FrameType

STOP = (signal.SIGINT, signal.SIGTERM)
# The terminal, or the connection that brought it, has gone.
HANG_UP = (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()
_AGAIN_AFTER = 0.01  # seconds
# Whoever is struck in one of these leaves a lock taken for ever, and whoever asks for it next waits as long.
_TAKING_OR_RELEASING = frozenset({"__enter__", "__exit__", "_acquire_restore", "_release_save"})
_MAX_DELAYS = 100
# What Python says of a signal whose handler is gone by the time it is looked at.
_IGNORED = "ignored due to race condition"


def interruptible(note: str = "", *, signals: Iterable[signal.Signals] = STOP) -> Listener:
    """
    Raise Interrupted in this block at the first signal, with this note; a second ends the process.

    A hang-up that is ignored, as under nohup, stays ignored. Only the main thread hears signals.
    """
    is_main = threading.current_thread() is threading.main_thread()
    return Listener(note, signals if is_main else ())


class Listener:
    """Raises, and sees to it that what it raised is heard."""

    def __init__(self, note: str, signals: Iterable[signal.Signals]) -> None:
        self._note = note
        handlers = {number: signal.getsignal(number) for number in signals}
        self._handlers = {
            number: handler
            for number, handler in handlers.items()
            if number not in HANG_UP or handler is not signal.SIG_IGN
        }
        self._hook = sys.unraisablehook
        self._raised: Interrupted | None = None
        self._again: threading.Timer | None = None
        self._delays = 0
        self._is_sparing = False

    def __enter__(self) -> Self:
        if self._handlers:
            sys.unraisablehook = self._swallowed
        self._listen()
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if self._again is not None:
            self._again.cancel()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._handlers:
            sys.unraisablehook = self._hook
        # A driver that is interrupted in the middle complains in its own words.
        if error is not None and self._raised not in {None, error}:
            raise self._raised from error

    def check(self) -> None:
        """Raise what was raised before, if somebody has swallowed it or made another error of it."""
        if self._raised is not None:
            raise self._raised

    def _listen(self) -> None:
        for number in self._handlers:
            signal.signal(number, self._interrupt)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        is_delicate = frame is not None and frame.f_code.co_name in _TAKING_OR_RELEASING
        # On a busy machine the next strike comes before this one is over, and would hit who is spared here.
        if (is_delicate or self._is_sparing) and self._delays < _MAX_DELAYS:
            self._delays += 1
            before, self._is_sparing = self._is_sparing, True
            self._strike_again(number)
            self._is_sparing = before
            return
        for each in self._handlers:
            signal.signal(each, signal.SIG_DFL)
        self._raised = Interrupted(number, self._note)
        raise self._raised

    def _swallowed(self, what: UnraisableHookArgs) -> None:
        """Raise it again in a moment, if it struck in a destructor, out of which no exception comes."""
        if isinstance(what.exc_value, OSError) and _IGNORED in str(what.exc_value):
            return  # a second signal, that came before the first could be raised
        if self._raised is None or what.exc_value is not self._raised:
            self._hook(what)
            return
        self._listen()
        self._strike_again(self._raised.signal_number)

    def _strike_again(self, number: int) -> None:
        self._again = threading.Timer(_AGAIN_AFTER, _thread.interrupt_main, [number])
        self._again.daemon = True
        self._again.start()
