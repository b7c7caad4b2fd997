"""A sync is asked to stop by a signal; a command that only reads is interrupted, as by Ctrl-C."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from etl.cli.signals import interruptible, stop_on_signals
from etl.errors import Interrupted

NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.mark.parametrize("number", NUMBERS)
def test_first_signal_sets_stop_and_handlers_are_restored(number):
    before = [signal.getsignal(each) for each in NUMBERS]
    with stop_on_signals("all is kept") as stop:
        signal.raise_signal(number)
        with pytest.raises(Interrupted, match=r"^interrupted; all is kept$") as caught:
            stop.wait(10)
    assert caught.value.exit_code == 128 + number
    assert [signal.getsignal(each) for each in NUMBERS] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_signal_handler_does_not_raise():
    with stop_on_signals() as stop:
        signal.raise_signal(signal.SIGTERM)
        deadline = time.monotonic() + 10
        while not stop.is_set() and time.monotonic() < deadline:
            pass
    assert stop.is_set()


def test_signal_interrupts_running_statement():
    """While the main thread executes a statement, Python runs no signal handlers."""
    connection = sqlite3.connect(":memory:")
    with stop_on_signals() as stop, stop.on_stop(connection.interrupt):
        threading.Timer(0.1, signal.raise_signal, [signal.SIGTERM]).start()
        start = time.monotonic()
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            connection.execute(ENDLESS)
        assert time.monotonic() - start < 2
    connection.close()


def test_simultaneous_signals_count_as_one():
    both = [signal.SIGINT, signal.SIGTERM]
    with stop_on_signals() as stop:
        signal.pthread_sigmask(signal.SIG_BLOCK, both)
        for number in both:
            signal.raise_signal(number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, both)
        with pytest.raises(Interrupted):
            stop.wait(10)


def test_other_signals_are_ignored():
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with stop_on_signals() as stop:
            signal.raise_signal(signal.SIGUSR1)
            stop.wait(0.05)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_ignored_sighup_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals() as stop:
            signal.raise_signal(signal.SIGHUP)
            stop.wait(0.05)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_context_managers_work_outside_the_main_thread():
    stops = []

    def use() -> None:
        with stop_on_signals() as stop, interruptible():
            stops.append(stop)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert not stops[0].is_set()


SECOND = """
import os, signal, sqlite3, sys, threading, time
from etl.cli.signals import stop_on_signals

def send(*numbers):
    for number in numbers:
        os.kill(os.getpid(), number)
        time.sleep(0.3)

with stop_on_signals() as stop:
    threading.Thread(target=send, args=map(int, sys.argv[2:]), daemon=True).start()
    if sys.argv[1] == "python":
        time.sleep(1); time.sleep(20)
    sqlite3.connect(":memory:").execute("{endless}")
"""


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("place", ["python", "C"])
def test_second_signal_terminates_immediately(place, second):
    """By the default action or, where no handler can run, with the exit code that a shell would report."""
    start = time.monotonic()
    code = SECOND.format(endless=ENDLESS)
    done = subprocess.run(
        [sys.executable, "-c", code, place, "2", str(int(second))], check=False, capture_output=True
    )
    assert done.returncode in {-second, 128 + second}
    assert time.monotonic() - start < 10


def send_and_wait(number: int) -> None:
    signal.raise_signal(number)
    time.sleep(10)


def send_and_blame_something_else() -> None:
    try:
        signal.raise_signal(signal.SIGTERM)
    except Exception as error:
        raise AssertionError from error


@pytest.mark.parametrize("number", NUMBERS)
def test_read_only_command_is_interrupted_immediately(number):
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=r"^interrupted$") as caught, interruptible():
        send_and_wait(number)
    assert caught.value.exit_code == 128 + number
    assert signal.getsignal(number) is before


def test_interruption_is_not_caught_by_except_exception():
    with pytest.raises(Interrupted), interruptible():
        send_and_blame_something_else()
