"""A stop is set once, is visible to every thread, and calls the registered callbacks."""

from __future__ import annotations

import threading
import time

import pytest

from etl.errors import Interrupted, TimedOut
from etl.stop import Stop, stop_of_run

SLACK = 2.0


def test_unset_stop_does_nothing():
    stop = Stop()
    stop.check()
    stop.wait(0.01)
    assert not stop.is_set()
    assert stop.error is None


def test_first_stop_reason_is_kept():
    stop = Stop()
    stop.set(Interrupted(15, "the first"))
    stop.set(Interrupted(2, "the second"))
    with pytest.raises(Interrupted, match="the first"):
        stop.check()


def test_wait_ends_when_another_thread_sets_stop():
    stop = Stop()
    threading.Timer(0.05, stop.set).start()
    start = time.monotonic()
    with pytest.raises(Interrupted):
        stop.wait(60)
    assert time.monotonic() - start < SLACK


def test_callbacks_run_once_and_only_while_registered():
    stop, called = Stop(), []
    with stop.on_stop(lambda: called.append("left")):
        pass
    with stop.on_stop(lambda: called.append("inside")):
        stop.set()
        stop.set()
    with stop.on_stop(lambda: called.append("late")):
        pass
    assert called == ["inside", "late"]


def test_block_waits_for_its_running_callback():
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


def test_stop_propagates_from_caller_to_run_only():
    caller = Stop()
    with stop_of_run(caller, None) as stop:
        stop.set()
        assert not caller.is_set()
    with stop_of_run(caller, None) as stop:
        caller.set(Interrupted(15))
        assert stop.error is caller.error
    with stop_of_run(caller, None) as stop, pytest.raises(Interrupted):
        stop.check()


def test_deadline_stops_run_and_calls_callbacks():
    is_cancelled = threading.Event()
    with stop_of_run(None, time.monotonic() + 0.05) as stop, stop.on_stop(is_cancelled.set):
        assert is_cancelled.wait(SLACK)
        with pytest.raises(TimedOut, match=r"^timed out after 0\.\d s \(--timeout\)") as caught:
            stop.check()
    assert caught.value.exit_code == 1


def test_past_deadline_stops_immediately():
    with stop_of_run(None, time.monotonic() - 1) as stop, pytest.raises(TimedOut):
        stop.wait(SLACK)


def test_deadline_is_cancelled_when_run_ends():
    with stop_of_run(None, time.monotonic() + 0.05) as stop:
        pass
    time.sleep(0.1)
    assert not stop.is_set()
