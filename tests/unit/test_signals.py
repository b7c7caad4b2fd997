"""A signal becomes one exception in the main thread, wherever it strikes."""

from __future__ import annotations

import signal
import sys
import time

import pytest

from etl.cli.signals import interruptible
from etl.errors import Interrupted


class Swallows:
    """Out of a destructor no exception comes."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


def swallow_and_go_on() -> None:
    Swallows()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        pass


def complain() -> None:
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
        complain()
