"""SIGINT and SIGTERM become one exception, so that a run is closed as interrupted and the lock given back."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, NoReturn

from etl.errors import Interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Raise Interrupted in this block at the first signal; a second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}

    raised: list[Interrupted] = []

    def interrupt(number: int, _frame: FrameType | None) -> NoReturn:
        for each in signals:
            signal.signal(each, signal.SIG_DFL)
        raised.append(Interrupted(number))
        raise raised[0]

    for number in signals:
        signal.signal(number, interrupt)
    try:
        yield
    except BaseException as error:
        # A driver that is interrupted in the middle complains in its own words.
        if raised and error is not raised[0]:
            raise raised[0] from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
