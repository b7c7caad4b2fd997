"""A stop is asked for once, seen by every thread, and cancels what has registered for it."""

from __future__ import annotations

import threading
import time

import pytest

from etl.errors import Interrupted, TimedOut
from etl.stop import Stop, stop_of_run

SLACK = 2.0


def test_a_stop_that_nobody_asked_for_lets_everything_pass():
    stop = Stop()
    stop.check()
    stop.wait(0.01)
    assert not stop.is_set()
    assert stop.error is None


def test_the_first_request_counts():
    stop = Stop()
    stop.set(Interrupted(15, "the first"))
    stop.set(Interrupted(2, "the second"))
    with pytest.raises(Interrupted, match="the first"):
        stop.check()


def test_a_wait_ends_as_soon_as_another_thread_asks_to_stop():
    stop = Stop()
    threading.Timer(0.05, stop.set).start()
    start = time.monotonic()
    with pytest.raises(Interrupted):
        stop.wait(60)
    assert time.monotonic() - start < SLACK


def test_callbacks_are_called_once_and_only_while_they_are_registered():
    stop, called = Stop(), []
    with stop.on_stop(lambda: called.append("left")):
        pass
    with stop.on_stop(lambda: called.append("inside")):
        stop.set()
        stop.set()
    with stop.on_stop(lambda: called.append("late")):
        pass
    assert called == ["inside", "late"]


def test_a_block_does_not_end_during_its_callback():
    stop, events = Stop(), []
    is_called = threading.Event()

    def cancel() -> None:
        is_called.set()
        time.sleep(0.05)
        events.append("cancelled")

    thread = threading.Thread(target=stop.set)
    with stop.on_stop(cancel):
        thread.start()
        is_called.wait()
    events.append("left")
    thread.join()
    assert events == ["cancelled", "left"]


def test_a_run_stops_when_its_caller_asks_and_not_the_other_way_round():
    caller = Stop()
    with stop_of_run(caller, None) as stop:
        stop.set()
        assert not caller.is_set()
    with stop_of_run(caller, None) as stop:
        caller.set(Interrupted(15))
        assert stop.error is caller.error
    with stop_of_run(caller, None) as stop, pytest.raises(Interrupted):
        stop.check()


def test_a_deadline_stops_a_run_and_cancels_what_it_does():
    is_cancelled = threading.Event()
    with stop_of_run(None, time.monotonic() + 0.05) as stop, stop.on_stop(is_cancelled.set):
        assert is_cancelled.wait(SLACK)
        with pytest.raises(TimedOut, match=r"^timed out after 0\.\d s \(--timeout\)") as caught:
            stop.check()
    assert caught.value.exit_code == 1


def test_a_deadline_that_has_passed_stops_at_once():
    with stop_of_run(None, time.monotonic() - 1) as stop, pytest.raises(TimedOut):
        stop.wait(SLACK)


def test_a_deadline_ends_with_its_run():
    with stop_of_run(None, time.monotonic() + 0.05) as stop:
        pass
    time.sleep(0.1)
    assert not stop.is_set()
