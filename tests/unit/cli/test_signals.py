"""A signal becomes one exception in the main thread, wherever it strikes."""

from __future__ import annotations

import signal
import sys
import threading
import time

import pytest
from httpcore._synchronization import ThreadLock

from etl.cli.signals import interruptible
from etl.errors import Interrupted


class Struck:
    """A lock as libraries write it, and a signal when it is taken but not yet held, or still held."""

    def __init__(self, *, entering: bool) -> None:
        self.lock = threading.Lock()
        self._entering = entering

    def __enter__(self) -> None:
        self.lock.acquire()
        if self._entering:
            signal.raise_signal(signal.SIGTERM)

    def __exit__(self, *_: object) -> None:
        if not self._entering:
            signal.raise_signal(signal.SIGTERM)
        self.lock.release()


def wait_in_vain() -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        pass


class Endless:
    """Never comes out of its own beginning."""

    def __enter__(self) -> None:
        signal.raise_signal(signal.SIGTERM)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            pass

    def __exit__(self, *_: object) -> None:
        """End nothing."""


class Swallows:
    """Out of a destructor no exception comes."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


def swallow_and_go_on() -> None:
    Swallows()
    wait_in_vain()


def hold_and_go_on(lock: Struck) -> None:
    with lock:
        pass
    wait_in_vain()


def hold_until_struck(lock: ThreadLock, seconds: float) -> None:
    threading.Timer(seconds, signal.raise_signal, [signal.SIGTERM]).start()
    while True:
        with lock:
            pass


def send_two_at_once() -> None:
    both = [signal.SIGINT, signal.SIGTERM]
    signal.pthread_sigmask(signal.SIG_BLOCK, both)
    for number in both:
        signal.raise_signal(number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, both)
    wait_in_vain()


def print_error() -> None:
    try:
        signal.raise_signal(signal.SIGTERM)
    except Interrupted as error:
        raise RuntimeError("bad statement") from error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_one_exception_and_the_handlers_are_put_back(number):
    before = signal.getsignal(number)
    with (
        pytest.raises(Interrupted, match=r"^interrupted; all is kept$") as caught,
        interruptible("all is kept"),
    ):
        signal.raise_signal(number)
    assert caught.value.exit_code == 128 + number
    with pytest.raises(Interrupted, match=r"^interrupted$"), interruptible():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_a_signal_in_a_destructor_is_raised_after_it(capsys):
    with pytest.raises(Interrupted), interruptible():
        swallow_and_go_on()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("entering", [True, False])
def test_a_signal_leaves_no_lock_taken(entering):
    """Neither one that was about to be held, nor one about to be given back."""
    struck = Struck(entering=entering)
    with pytest.raises(Interrupted), interruptible():
        hold_and_go_on(struck)
    assert not struck.lock.locked()


@pytest.mark.parametrize("entering", [True, False])
def test_a_strike_that_comes_while_the_last_one_spares_a_lock_spares_it_too(monkeypatch, entering):
    """As on a busy machine, where the timer is through before it is started."""
    struck = Struck(entering=entering)
    timers = []

    class Hasty(threading.Timer):
        def start(self) -> None:
            timers.append(self)
            if len(timers) == 1:
                signal.raise_signal(signal.SIGTERM)
            super().start()

    monkeypatch.setattr("etl.cli.signals.threading.Timer", Hasty)
    with pytest.raises(Interrupted), interruptible():
        hold_and_go_on(struck)
    assert len(timers) > 1
    assert not struck.lock.locked()


def test_what_never_comes_out_of_its_beginning_is_struck_all_the_same():
    with pytest.raises(Interrupted), interruptible(), Endless():
        pass


def test_locks_of_libraries_are_free_after_a_signal_at_any_instant():
    lock = ThreadLock()
    for number in range(20):
        with pytest.raises(Interrupted), interruptible():
            hold_until_struck(lock, number / 10_000)
        assert lock._lock.acquire(timeout=1)
        lock._lock.release()


def test_a_signal_in_a_destructor_at_the_very_end_strikes_nobody_else():
    before = signal.getsignal(signal.SIGTERM)
    with interruptible():
        Swallows()
    time.sleep(0.05)
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_error_that_nobody_can_raise_is_reported_as_ever(monkeypatch):
    class Breaks:
        def __del__(self) -> None:
            raise ValueError("unraisable")

    heard = []
    monkeypatch.setattr(sys, "unraisablehook", lambda what: heard.append(str(what.exc_value)))
    with interruptible():
        Breaks()
    assert heard == ["unraisable"]


def test_what_a_driver_makes_of_a_signal_is_still_that_signal():
    with pytest.raises(Interrupted), interruptible():
        print_error()


def test_two_signals_at_once_are_one_and_make_no_noise(capsys):
    with pytest.raises(Interrupted), interruptible():
        send_two_at_once()
    assert capsys.readouterr().err == ""
