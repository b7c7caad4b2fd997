"""
The mechanisms behind the promises, how each is switched off, and the test that must then fail.

A mechanism is switched off at its seam: a public name, replaced by something that works but does not
protect. A function that another module imports is replaced where it is used. After a rename in `etl`, only
this table needs an update.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import itertools
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Callable

# Names the mechanism that a process runs without.
VARIABLE: Final = "GCORE_ETL_TEST_WITHOUT"
NOT_SWITCHED_OFF: Final = 70


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """
    A mechanism of a promise, and the `tests` that need it.

    `seams` are public names, as `module:name` or `module:class.name`. `off` takes the original and returns
    its replacement.
    """

    promise: str
    name: str
    seams: tuple[str, ...]
    off: Callable[[Any], Any]
    tests: tuple[str, ...]

    @property
    def title(self) -> str:
        """The promise and the name."""
        return f"{self.promise} {self.name}"

    def switch_off(self) -> None:
        """Replace the names for the rest of this process."""
        for seam in self.seams:
            owner, name = owner_of(seam)
            setattr(owner, name, self.off(getattr(owner, name)))


def owner_of(seam: str) -> tuple[Any, str]:
    """Return the module or class that has a seam, and its name there."""
    module, _, path = seam.partition(":")
    *classes, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for each in classes:
        owner = getattr(owner, each)
    return owner, name


def switch_off_as_told() -> None:
    """Switch off the mechanism that the environment names; exit if that fails."""
    title = os.environ.get(VARIABLE)
    if title is None:
        return
    try:
        next(each for each in MECHANISMS if each.title == title).switch_off()
    except BaseException:  # noqa: BLE001 - Python ignores errors at this point of its start
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(NOT_SWITCHED_OFF)


def always(result: object) -> Callable[[object], object]:
    """Return an `off` for functions that then return `result`."""
    return lambda _original: lambda *_arguments, **_options: result


def shares_nothing(_joins: object) -> object:
    """Let any two slices count as neighbours."""
    from etl.extract.page_source import Check  # noqa: PLC0415

    return lambda *_: Check(holds=True)


def assumes_gte(window_since: Any) -> object:
    """Let `date_created` always mean "at or after"."""
    return lambda start, *, now, **_semantics: window_since(start, now=now, semantics="gte")


def reads_everything(_window_since: object) -> object:
    """Let the window of every run be the whole list."""
    from etl.sync.window import EVERYTHING  # noqa: PLC0415

    return lambda *_arguments, **_options: EVERYTHING


def finds_nothing_missing(_settle: object) -> object:
    """Let the count audit return without a comparison."""
    from etl.sync.count_audit import AuditOutcome  # noqa: PLC0415

    return lambda *_arguments, **_options: AuditOutcome()


def grows_with_each_call(_fullness: object) -> object:
    """Let the first of two results that are compared always count as the fuller one."""
    numbers = itertools.count(0, -1)
    return lambda _result: next(numbers)


def differs_each_time(upsert_tasks: Any) -> object:
    """Let each record have a hash that no stored one has."""
    from msgspec.structs import replace  # noqa: PLC0415

    def upsert(connection: object, payloads: Any, observation: object, **options: Any) -> object:
        unlike = [replace(payload, payload_hash=os.urandom(16)) for payload in payloads]
        return upsert_tasks(connection, unlike, observation, **options)

    return upsert


def moves_watermark(read_state: Any) -> object:
    """Commit a new watermark when the run begins, before it has read anything."""
    from etl.sync.run import utc_now  # noqa: PLC0415
    from etl.sync.state import write_state  # noqa: PLC0415

    def read(connection: sa.Connection) -> object:
        state = read_state(connection)
        write_state(connection, state, dataclasses.replace(state, watermark=utc_now()))
        return state

    return read


def commits_first(save_counters: Any) -> object:
    """Commit the rows of a batch before its counters are stored."""

    def save(connection: sa.Connection, summary: object) -> None:
        connection.connection.commit()
        save_counters(connection, summary)

    return save


def locks_nothing(_lock: object) -> object:
    """Let the block run without a lock."""
    return lambda *_arguments, **_options: contextlib.nullcontext()


def first_usable_schema(_schema: object) -> object:
    """Choose the first schema with a copy or the privilege to create one, even that of the role itself."""
    return property(
        lambda self: next((each for each in self.schemas if each.has_copy or each.may_create), None)
    )


def settings_stay(prepare_transaction: Any) -> object:
    """Set everything for the session, instead of for one transaction."""
    names = ("search_path", "timezone", "datestyle", "statement_timeout", "row_security")
    calls = ", ".join(f"set_config('{name}', current_setting('{name}'), false)" for name in names)

    def prepare(connection: sa.Connection, *, is_writer: bool) -> None:
        prepare_transaction(connection, is_writer=is_writer)
        connection.execute(sa.text(f"SELECT {calls}"))

    return prepare


def never_flushes(add: Any) -> object:
    """Let a batch take any number of rows and bytes; a slow server still ends it."""
    from etl.sync import batch  # noqa: PLC0415

    def add_to_batch(self: object, *arguments: Any) -> object:
        batch.BATCH_ROWS = batch.BATCH_BYTES = sys.maxsize
        return add(self, *arguments)

    return add_to_batch


def never_raised(_error: object) -> object:
    """Let an `except` clause name an error that does not occur."""
    return type("NeverRaisedError", (Exception,), {})


def masks_nothing(_redact: object) -> object:
    """Return the text with its secrets."""
    return lambda _secret, text: text


def any_empty_or_full(_is_removed: object) -> object:
    """Let every response to a request for a task prove that the task was removed."""
    return lambda _task_id, response: response is not None


def trusts_every_page(_check: object) -> object:
    """Accept every page as one of this account."""

    def check(self: Any, page: Any) -> None:
        self.client_ids |= {task.client_id for task in page.tasks if task.client_id is not None}

    return check


def takes_machines_time(next_watermark: Any) -> object:
    """Take the watermark from this machine's clock."""
    return lambda covered, *, now, **rest: next_watermark(covered, **{**rest, "now": now, "served_at": now})


def believes_watermark(_covered_until: object) -> object:
    """Treat everything before the stored watermark as read, regardless of the clock it came from."""
    return lambda state, *_arguments, **_options: state.watermark


_SYNC, _COMPLETE = "integration/test_sync.py", "integration/test_complete.py"

MECHANISMS: Final = (
    Mechanism(
        promise="P1",
        name="neighbouring pages share a record",
        seams=("etl.extract.page_source:ListSource.joins",),
        off=shares_nothing,
        tests=("property/test_walk.py::test_tasks_present_throughout_are_never_missed",),
    ),
    Mechanism(
        promise="P1",
        name="the meaning of date_created is found out",
        seams=("etl.sync.window:window_since",),
        off=assumes_gte,
        tests=("unit/sync/test_window.py",),
    ),
    Mechanism(
        promise="P1",
        name="the count audit",
        seams=("etl.sync.count_audit:CountAudit.check",),
        off=finds_nothing_missing,
        tests=(f"{_COMPLETE}::test_late_task_with_old_date_is_found_by_next_run",),
    ),
    Mechanism(
        promise="P2",
        name="tasks in flight are re-read",
        seams=("etl.sync.list_reader:ListReader.read_in_flight",),
        off=always([]),
        tests=(f"{_SYNC}::test_in_flight_task_is_followed_at_any_age",),
    ),
    Mechanism(
        promise="P3",
        name="only a fuller result replaces a stored one",
        seams=("etl.load.results:fullness",),
        off=grows_with_each_call,
        tests=("integration/test_archive.py::test_less_complete_result_never_replaces_fuller_one",),
    ),
    Mechanism(
        promise="P3",
        name="only a response about just this task proves it removed",
        seams=("etl.sync.in_flight:is_removed", "etl.sync.list_reader:is_removed"),
        off=any_empty_or_full,
        tests=(f"{_COMPLETE}::test_ignored_task_id_filter_marks_no_task_as_removed",),
    ),
    Mechanism(
        promise="P4",
        name="a record with the stored hash is not compared",
        seams=("etl.load.upsert:upsert_tasks", "etl.sync.batch:upsert_tasks"),
        off=differs_each_time,
        tests=("integration/test_load.py", "integration/test_proportional.py"),
    ),
    Mechanism(
        promise="P4",
        name="a record with another hash is written only if a value differs",
        seams=("etl.load.upsert:differs",),
        off=always(True),  # noqa: FBT003
        tests=("integration/test_load.py", "integration/test_singer_cases.py"),
    ),
    Mechanism(
        promise="P5",
        name="the watermark moves with the last rows",
        seams=("etl.sync.run:read_state",),
        off=moves_watermark,
        tests=(f"{_SYNC}::test_failed_sync_keeps_the_watermark_and_records_the_error",),
    ),
    Mechanism(
        promise="P5",
        name="a batch and its counters are one transaction",
        seams=("etl.sync.batch:save_counters",),
        off=commits_first,
        tests=("e2e/test_kill.py", "e2e/test_signals.py"),
    ),
    Mechanism(
        promise="P5",
        name="a killed run is closed by the next",
        seams=("etl.sync.run_record:close_killed_run",),
        off=always(None),
        tests=("e2e/test_kill.py",),
    ),
    Mechanism(
        promise="P6",
        name="a lock beside the SQLite file",
        seams=("etl.sync.api:file_lock",),
        off=locks_nothing,
        tests=(f"{_SYNC}::test_sync_is_refused_while_another_writer_holds_the_lock",),
    ),
    Mechanism(
        promise="P6",
        name="an advisory lock on Postgres",
        seams=("etl.sync.api:locked_session",),
        off=locks_nothing,
        tests=(f"{_SYNC}::test_sync_is_refused_while_another_writer_holds_the_lock",),
    ),
    Mechanism(
        promise="P6",
        name="a pooler that shares sessions is found out",
        seams=("etl.database.session_settings:detect_pooler",),
        off=always(False),  # noqa: FBT003
        tests=("integration/test_poolers.py",),
    ),
    Mechanism(
        promise="P6",
        name="all look for the copy in one schema",
        seams=("etl.database.search_path:Location.schema",),
        off=first_usable_schema,
        tests=("integration/test_postgres_schemas.py",),
    ),
    Mechanism(
        promise="P7",
        name="batches are loaded as they come",
        seams=("etl.sync.batch:BatchLoader.add",),
        off=never_flushes,
        tests=("e2e/test_crash.py::test_network_loss_keeps_loaded_batches",),
    ),
    Mechanism(
        promise="P8",
        name="an incremental run reads a window",
        seams=("etl.sync.window:window_since", "etl.sync.plan:window_since"),
        off=reads_everything,
        tests=("integration/test_proportional.py",),
    ),
    Mechanism(
        promise="P9",
        name="a record without an id is rejected",
        seams=("etl.sync.batch:reject",),
        off=always(None),
        tests=(f"{_SYNC}::test_record_without_usable_id_is_rejected_once",),
    ),
    Mechanism(
        promise="P9",
        name="what spoils a page is looked for in smaller pieces",
        seams=("etl.extract.paginator:CorruptPage",),
        off=never_raised,
        tests=(f"{_COMPLETE}::test_record_that_breaks_its_page_is_rejected_alone",),
    ),
    Mechanism(
        promise="P10",
        name="texts are cleaned",
        seams=("etl.secret:Secret.redact",),
        off=masks_nothing,
        tests=("e2e/test_secrets.py::test_key_echoed_by_server_is_redacted",),
    ),
    Mechanism(
        promise="P11",
        name="a mass removal is doubted",
        seams=("etl.sync.run:is_suspicious",),
        off=always(False),  # noqa: FBT003
        tests=(f"{_SYNC}::test_mass_removal_is_refused_unless_allowed",),
    ),
    Mechanism(
        promise="P11",
        name="the first page decides whose the tasks are",
        seams=("etl.sync.account:Account.check",),
        off=trusts_every_page,
        tests=("integration/test_accounts.py::test_other_account_is_refused_with_or_without_client_ids",),
    ),
    Mechanism(
        promise="P12",
        name="the watermark is the server's",
        seams=("etl.sync.watermark:next_watermark",),
        off=takes_machines_time,
        tests=(f"{_SYNC}::test_watermark_is_server_time_and_never_decreases",),
    ),
    Mechanism(
        promise="P12",
        name="a watermark from a clock that was ahead is taken back",
        seams=("etl.sync.run:covered_until",),
        off=believes_watermark,
        tests=("integration/test_wrong_dates.py",),
    ),
    Mechanism(
        promise="P12",
        name="a clock that contradicts a task dates nothing",
        seams=("etl.sync.clock:SourceClock.distrust",),
        off=always(None),
        tests=("integration/test_doubt.py::test_creation_time_bounds_hold_despite_clock_skew",),
    ),
    Mechanism(
        promise="P12",
        name="the filter confirms the clock after the pages",
        seams=("etl.sync.date_filter_semantics:DateFilterSemantics.has_since",),
        off=always(False),  # noqa: FBT003
        tests=(
            "integration/test_doubt.py::test_slow_clock_gives_no_false_bound_for_task_created_during_sync",
        ),
    ),
    Mechanism(
        promise="P15",
        name="settings end with their transaction",
        seams=("etl.database.postgres:prepare_transaction",),
        off=settings_stay,
        tests=("integration/test_postgres_settings.py", "integration/test_poolers.py"),
    ),
)
