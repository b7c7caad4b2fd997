"""Each promise rests on a mechanism. Take the mechanism away, and the test of the promise must fail."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOMETHING_FAILED = 1


@dataclasses.dataclass(frozen=True)
class Mechanism:
    """A piece of the code, what stands in its place when it is off, and the test that has to notice."""

    name: str
    file: str
    on: str
    off: str
    test: str


MECHANISMS = [
    Mechanism(
        "P1 complete: neighbouring pages share a record",
        "extract/pages.py",
        "        if here.span.start == 0:\n            return True\n        shared",
        "        if here.span.start >= 0:\n            return True\n        shared",
        "property/test_walk.py::test_what_was_there_throughout_is_never_missed",
    ),
    Mechanism(
        "P1 complete: the meaning of date_created is found out",
        "sync/window.py",
        'if verdict == "unknown":\n        return EVERYTHING\n    if verdict == "gte"',
        "if True",
        "unit/test_window.py",
    ),
    Mechanism(
        "P1 complete: the count audit",
        "sync/run.py",
        "self._audit.settle(window, has_new=bool(self.summary.inserted))",
        "pass",
        "integration/test_complete.py::test_a_task_that_appears_late_with_an_old_date_is_found_by_the_next_run",
    ),
    Mechanism(
        "P2 current: unfinished tasks are looked at again",
        "sync/run.py",
        "self._reader.read_in_flight()",
        "pass",
        "integration/test_sync.py::test_a_task_in_flight_is_followed_however_old_it_is",
    ),
    Mechanism(
        "P3 permanent: only a fuller result replaces a stored one",
        "load/results.py",
        "return found is not None and fullness(found.result) > fullness(known",
        "return found is None or fullness(found.result) != fullness(known",
        "integration/test_archive.py::test_an_emptier_result_never_replaces_a_fuller_one",
    ),
    Mechanism(
        "P3 permanent: only an answer about just this task proves it gone",
        "sync/in_flight.py",
        "if answer.records or answer.count:",
        "if False:",
        "integration/test_complete.py::test_a_list_that_ignores_the_id_it_is_asked_for_proves_no_task_gone",
    ),
    Mechanism(
        "P4 idempotent: what is the same is not written",
        "load/upsert.py",
        "{task_id: payload.fingerprint for",
        "{task_id: b'' for",
        "integration/test_load.py integration/test_proportional.py",
    ),
    Mechanism(
        "P5 atomic: the watermark moves with the last rows",
        "sync/run.py",
        "            self._account = Account(\n",
        "            write_state(self._connection, self._state, dataclasses.replace("
        "self._state, watermark=self._now()))\n            self._account = Account(\n",
        "integration/test_sync.py::test_a_failed_sync_leaves_the_watermark_and_says_why",
    ),
    Mechanism(
        "P5 atomic: a batch and its counters are one transaction",
        "sync/intake.py",
        "            self._load(sighting)\n            if self._summary.dry_run:",
        "            self._load(sighting)\n            self._connection.connection.commit()\n"
        "            if self._summary.dry_run:",
        "e2e/test_kill.py e2e/test_crash.py",
    ),
    Mechanism(
        "P5 atomic: a killed run is closed by the next",
        "sync/run.py",
        "close_killed_runs(self._connection, summary.started_at)",
        "pass",
        "e2e/test_kill.py",
    ),
    Mechanism(
        "P6 one writer: a lock beside the SQLite file",
        "sync/file_lock.py",
        "lock.acquire(poll_interval=_POLL_SECONDS)",
        "pass",
        "integration/test_sync.py::test_two_writers_never_interleave",
    ),
    Mechanism(
        "P6 one writer: an advisory lock on Postgres",
        "sync/advisory_lock.py",
        'if connection.scalar(_LOCK, {"product": _PRODUCT}):',
        "if True:",
        "integration/test_sync.py::test_two_writers_never_interleave",
    ),
    Mechanism(
        "P6 one writer: a pooler that shares sessions is found out",
        "database/pooler.py",
        "    if not keeps_session:\n",
        "    if False:\n",
        "integration/test_poolers.py",
    ),
    Mechanism(
        "P6 one writer: all look for the copy in one schema",
        "database/search_path.py",
        "if schema.has_copy or (schema.may_create and not is_for_others):",
        "if schema.has_copy or schema.may_create:",
        "integration/test_postgres_schemas.py",
    ),
    Mechanism(
        "P15 a good neighbour: settings end with their transaction",
        "database/session.py",
        "set_config('{name}', :{name}, true)",
        "set_config('{name}', :{name}, false)",
        "integration/test_postgres_settings.py integration/test_poolers.py",
    ),
    Mechanism(
        "P7 bounded: batches are loaded as they come",
        "sync/intake.py",
        "is_large = records >= BATCH_ROWS or self._pending_bytes >= BATCH_BYTES",
        "is_large = False",
        "integration/test_sync.py e2e/test_kill.py e2e/test_crash.py",
    ),
    Mechanism(
        "P8 proportional: an incremental run reads a window",
        "sync/window.py",
        'return Window(start=start, parts=(Part({"date_created": date_text(start)}, start),))',
        "return EVERYTHING",
        "integration/test_proportional.py",
    ),
    Mechanism(
        "P9 nothing dropped: a record without an id is set aside",
        "load/rejected.py",
        "    if not rows:\n        return\n",
        "    return\n",
        "integration/test_sync.py::test_a_record_without_a_usable_id_is_set_aside_once",
    ),
    Mechanism(
        "P9 nothing dropped: what spoils a page is looked for in smaller pieces",
        "extract/pages.py",
        "return await_result(future)\n        except SpoiltPage:\n",
        "return await_result(future)\n        except ZeroDivisionError:\n",
        "integration/test_complete.py::test_one_record_that_spoils_its_page_costs_itself_alone",
    ),
    Mechanism(
        "P10 no secret: texts are cleaned",
        "secret.py",
        "    for secret in _secrets:\n        text = secret.redact(text)\n    return text\n",
        "    return text\n",
        "e2e/test_secrets.py",
    ),
    Mechanism(
        "P11 wrong account: a mass removal is doubted",
        "sync/balance.py",
        "return missing >= present or",
        "return False and",
        "integration/test_sync.py::test_a_mass_removal_is_doubted_until_it_is_allowed",
    ),
    Mechanism(
        "P11 one account: the first page decides whose the tasks are",
        "sync/account.py",
        "if not self._is_ours(page):",
        "if False:",
        "integration/test_accounts.py::test_another_account_is_refused_with_or_without_clients",
    ),
    Mechanism(
        "P12 honest time: the watermark is the server's",
        "sync/run.py",
        "next_watermark(before, served_at=served_at, now",
        "next_watermark(before, served_at=self._now(), now",
        "integration/test_sync.py::test_the_watermark_is_the_servers_time_and_never_falls",
    ),
    Mechanism(
        "P12 honest time: a watermark from a clock that was ahead is taken back",
        "sync/run.py",
        "before = covered if served_at is not None else state.watermark",
        "before = state.watermark",
        "integration/test_wrong_dates.py",
    ),
    Mechanism(
        "P12 honest time: a clock that contradicts a task dates nothing",
        "sync/clock.py",
        "self._bounds_creation = False",
        "pass",
        "integration/test_doubt.py",
    ),
    Mechanism(
        "P12 honest time: the filter confirms the clock after the pages",
        "sync/intake.py",
        "if moment is None or self.shows_since is None or self._summary.dry_run:",
        "if True:",
        "integration/test_doubt.py::test_a_task_that_is_created_during_a_sync_is_not_dated_by_a_clock_that_is_behind",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("mechanism", MECHANISMS, ids=lambda each: re.sub(r"\W+", "-", each.name))
def test_without_its_mechanism_a_promise_is_seen_to_break(tmp_path, mechanism):
    for folder in ("etl", "migrations"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    file = tmp_path / "etl" / mechanism.file
    text = file.read_text("utf-8")
    assert text.count(mechanism.on) == 1
    file.write_text(text.replace(mechanism.on, mechanism.off), "utf-8")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    imported = python(environment, "-c", "import etl; print(etl.__file__)")
    assert imported.stdout.startswith(str(tmp_path))
    tests = [f"tests/{each}" for each in mechanism.test.split()]
    ended = python(
        environment,
        *["-m", "pytest", "-x", "-q", "--tb=line", "-p", "no:cacheprovider", "-m", "not slow"],
        *["-o", "pythonpath=tests"],  # the package of the checkout would come before the changed copy
        *tests,
    )
    assert ended.returncode == SOMETHING_FAILED, ended.stdout[-2000:] + ended.stderr[-2000:]
    failed = re.search(r"^FAILED (\S+)", ended.stdout, re.MULTILINE)
    print(f"{mechanism.name}: off, {failed and failed[1]} fails")  # noqa: T201 - a line of `make test-slow`


def python(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the root of the project, without looking for modules there."""
    command = [sys.executable, "-P", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
