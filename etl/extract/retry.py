"""Retries of failed requests: which failures are retried, after how long, and when to give up."""

from __future__ import annotations

import dataclasses
import logging
import math
import random
import time
from typing import TYPE_CHECKING, TypeVar

import tenacity

from etl.errors import SourceError, UndecodableResult, Unreachable, UnreadablePage

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from etl.stop import Stop

T = TypeVar("T")

logger = logging.getLogger(__name__)

RETRIED_STATUS_CODES = frozenset({408, 425, 429})  # and every 5xx


@dataclasses.dataclass(frozen=True, slots=True)
class Backoff:
    """The wait between two attempts, in seconds: it starts with `first` and doubles up to `longest`."""

    first: float = 0.5
    longest: float = 30.0

    def choose(self, attempts: int) -> float:
        """Return the wait after this many failed attempts, with jitter: between half of it and all of it."""
        ceiling = min(self.longest, self.first * 2.0 ** min(attempts - 1, 10))
        return random.uniform(ceiling / 2, ceiling)  # noqa: S311


class TransientError(SourceError):
    """
    A temporary failure. `retry_after` is how many seconds the server asked to wait.

    `is_throttled` means that the status was 429: the request itself was valid.
    """

    def __init__(self, message: str, retry_after: float | None = None, *, is_throttled: bool = False) -> None:
        self.retry_after, self.is_throttled = retry_after, is_throttled
        super().__init__(message)


def is_transient(status_code: int) -> bool:
    """Return whether a request that got this status should be retried."""
    return status_code in RETRIED_STATUS_CODES or status_code >= 500  # noqa: PLR2004


class Retrier:
    """
    Calls a function until it succeeds or `retry_for` has passed. The threads of a client share one object.

    `take_turn` is called before each attempt, and may block.
    """

    def __init__(
        self,
        retry_for: dt.timedelta,
        stop: Stop,
        *,
        take_turn: Callable[[], None],
        backoff: Backoff,
    ) -> None:
        self._seconds = retry_for.total_seconds()
        self._stop, self._take_turn, self._backoff = stop, take_turn, backoff

    def call(self, attempt: Callable[[float], T], what: str, *, retry_seconds: float | None = None) -> T:
        """
        Return what `attempt(deadline)` returns; the deadline is on the monotonic clock.

        Raises Unreachable, with the last failure in its message, if the next attempt would start too late,
        and Stopped as soon as `stop` is set. The time starts when the rate limiter allows the first attempt.
        With `retry_seconds`, a failure is retried only for that long, unless its status was 429.
        """
        self._wait(0)
        deadline = time.monotonic() + self._seconds
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientError),
            wait=self._choose_wait,
            stop=lambda state: self._is_over(state, math.inf if retry_seconds is None else retry_seconds),
            sleep=self._wait,
            before_sleep=lambda state: _report(state, what),
            reraise=True,
        )
        try:
            return retrying(attempt, deadline)
        except TransientError as failure:
            asked = failure.retry_after or 0.0
            hint = f", and asks to wait {asked:.0f} s" if asked >= self._seconds else ""
            kind = UndecodableResult if isinstance(failure.__cause__, UnreadablePage) else Unreachable
            setting = "; --retry-for sets how long one request is retried" if retry_seconds is None else ""
            number = retrying.statistics["attempt_number"]
            raise kind(f"{what}: {failure}{hint} (gave up after attempt {number}{setting})") from failure

    def _wait(self, seconds: float) -> None:
        self._stop.wait(seconds)
        self._take_turn()

    def _choose_wait(self, state: tenacity.RetryCallState) -> float:
        """Return the wait that the server asked for, with jitter to spread clients; else the back-off."""
        asked = _failure(state.outcome).retry_after
        if asked is not None:
            return asked + random.uniform(0, 0.25)  # noqa: S311
        return self._backoff.choose(state.attempt_number)

    def _is_over(self, state: tenacity.RetryCallState, retry_seconds: float) -> bool:
        next_start = (state.seconds_since_start or 0.0) + state.upcoming_sleep
        # An attempt with hardly any time left would only hide why earlier ones failed.
        is_late = next_start >= 0.9 * self._seconds
        return is_late or (next_start > retry_seconds and not _failure(state.outcome).is_throttled)


def _failure(outcome: tenacity.Future | None) -> TransientError:
    failure = outcome.exception() if outcome else None
    assert isinstance(failure, TransientError)  # noqa: S101 - others are not retried
    return failure


def _report(state: tenacity.RetryCallState, what: str) -> None:
    failure = _failure(state.outcome)
    logger.warning("%s: %s; trying again in %.1f s", what, failure, state.upcoming_sleep)
