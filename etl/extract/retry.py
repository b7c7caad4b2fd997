"""Which failures deserve another try, how long to wait, and when to give up."""

from __future__ import annotations

import datetime as dt
import email.utils
import logging
import math
import random
import time
from typing import TYPE_CHECKING, TypeVar

import tenacity

from etl.errors import SourceError, UndecodableResult, Unreachable, UnreadablePage

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

T = TypeVar("T")

logger = logging.getLogger(__name__)

RETRIED_STATUS_CODES = frozenset({408, 425, 429})  # and every 5xx
FIRST_WAIT = 0.5
MAX_WAIT = 30.0


class TransientError(SourceError):
    """
    A failure that time may mend. `retry_after` is how many seconds the server asked to wait.

    `is_throttled` if it was a 429: then nothing is wrong with what was asked for.
    """

    def __init__(self, message: str, retry_after: float | None = None, *, is_throttled: bool = False) -> None:
        self.retry_after, self.is_throttled = retry_after, is_throttled
        super().__init__(message)


def is_transient(status_code: int) -> bool:
    """Tell whether an answer with this status is worth asking for again."""
    return status_code in RETRIED_STATUS_CODES or status_code >= 500  # noqa: PLR2004


def parse_retry_after(header: str | None, now: dt.datetime) -> float | None:
    """
    Give the seconds that a `Retry-After` header asks for, in either form; None for one that makes no sense.

    `now` is the server's own clock, from the same answer: only against it does the date mean anything.
    Source: RFC 9110, section 10.2.3.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = email.utils.parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.UTC)
        return max(0.0, (moment - now).total_seconds())
    except (ValueError, OverflowError):
        return None


class Retrier:
    """
    Calls until it succeeds or `retry_for` is over; one object serves all threads of a client.

    `take_turn` is called before each try, and may take its time. `stopping` cuts every wait short, and
    nothing is tried after it, so that an interrupted run ends at once.
    """

    def __init__(
        self, retry_for: dt.timedelta, stopping: threading.Event, *, take_turn: Callable[[], None]
    ) -> None:
        self._seconds = retry_for.total_seconds()
        self._stopping = stopping
        self._take_turn = take_turn

    def call(self, attempt: Callable[[float], T], what: str, *, patience: float | None = None) -> T:
        """
        Return what `attempt(deadline)` returns; the deadline is on the monotonic clock.

        Raises Unreachable, with the last failure in it, when the next try would come too late. The time runs
        from the first turn on. With `patience`, a failure is retried only within so many seconds, unless it
        was a 429.
        """
        self._wait(0)
        deadline = time.monotonic() + self._seconds
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            wait=_pause,
            # A try with hardly any time left would only hide why the ones before it failed.
            stop=tenacity.stop_before_delay(0.9 * self._seconds)
            | tenacity.stop_when_event_set(self._stopping)
            | _StopImpatiently(math.inf if patience is None else patience),
            sleep=self._wait,
            before_sleep=lambda state: _report(state, what),
        )
        try:
            return retrying(attempt, deadline)
        except tenacity.RetryError as error:
            failure = error.last_attempt.exception()
            asked = getattr(failure, "retry_after", None) or 0.0
            hint = f", and asks to wait {asked:.0f} s" if asked >= self._seconds else ""
            kind = (
                UndecodableResult
                if isinstance(failure and failure.__cause__, UnreadablePage)
                else Unreachable
            )
            setting = "; --retry-for sets how long one request is tried" if patience is None else ""
            raise kind(
                f"{what}: {failure}{hint} (gave up after try {error.last_attempt.attempt_number}{setting})"
            ) from failure

    def _wait(self, seconds: float) -> None:
        self._stopping.wait(seconds)
        self._take_turn()
        if self._stopping.is_set():
            raise Unreachable("nothing more is asked of the API, because the run is being stopped")


class _StopImpatiently(tenacity.stop.stop_base):
    """Stops before the next try would come after so many seconds, unless the last one was throttled."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:
        failure = retry_state.outcome.exception() if retry_state.outcome else None
        elapsed = retry_state.seconds_since_start or 0.0
        is_over = elapsed + retry_state.upcoming_sleep > self._seconds
        return is_over and not getattr(failure, "is_throttled", False)


def _pause(state: tenacity.RetryCallState) -> float:
    """Give what the server asked for, a little more so that not all come back at once; else back off."""
    failure = state.outcome.exception() if state.outcome else None
    asked = getattr(failure, "retry_after", None)
    if asked is not None:
        return float(asked) + random.uniform(0, 0.25)  # noqa: S311
    ceiling = min(MAX_WAIT, FIRST_WAIT * 2.0 ** min(state.attempt_number - 1, 10))
    return random.uniform(ceiling / 2, ceiling)  # noqa: S311


def _report(state: tenacity.RetryCallState, what: str) -> None:
    failure = state.outcome.exception() if state.outcome else None
    logger.warning("%s: %s; trying again in %.1f s", what, failure, state.upcoming_sleep)
