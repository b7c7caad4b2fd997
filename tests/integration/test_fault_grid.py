"""
Every fault, at every stage of every kind of sync: the data is complete, or the run fails with an error.

The world does not change, and all runs on SQLite share it. A run starts with an empty database, or with a
copy from six hours ago. Faults occur once, or permanently from one moment on; after they end, one more sync
must complete the data.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import certifi
import pytest
from support.grids import one_in
from support.worlds import NOW, a_world, query, settings_for, stored_states, true_states

from etl.emulator import Behaviour, Fault, RequestInfo, serve
from etl.errors import (
    CredentialsRefused,
    EtlError,
    ForeignRedirect,
    NotFound,
    RequestRefused,
    SourceError,
    UndecodableResult,
    Unreachable,
)
from etl.extract.retry import Backoff
from etl.sync.api import run_sync
from etl.sync.options import SyncOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.databases import PostgresDatabases, SqliteDatabases

    from etl.emulator import Emulator, World

PAGE = 10
MODES = ("first", "full", "incremental")
STAGES: dict[str, Callable[[RequestInfo], bool]] = {
    "at the first request": lambda _request: True,
    "between pages": lambda request: int(request.query.get("page", 0)) > 2,
    "in flight": lambda request: "status" in request.query or "task_id" in request.query,
    "by its id": lambda request: "task_id" in request.query,
    "at a result": lambda request: request.target == "detail",
}
LATER = {"in flight", "by its id"}  # what is stored as unfinished is looked at again by an incremental sync
PLACES = [(mode, stage) for mode in MODES for stage in STAGES if stage not in LATER or mode == MODES[-1]]
PAGES = [(mode, stage) for mode, stage in PLACES if stage != "at a result"]

PASSING = (
    "408", "425", "429_seconds", "429_date", "429_bare", "500", "502_html", "503", "reset", "reset_mid_body",
    "truncated_json", "wrong_length", "slow", "html_200", "not_json", "trailing_garbage",
    "redirect_same_origin",
)  # fmt: skip
# The error of a run that cannot continue after the fault.
ENDS: dict[str, type[EtlError]] = {
    "401": CredentialsRefused,
    "403": CredentialsRefused,
    "404": NotFound,
    "quote_key": RequestRefused,
    "redirect_other_origin": ForeignRedirect,
    "redirect_same_origin": SourceError,
    "429_seconds": Unreachable,
    "503": Unreachable,
    "reset": Unreachable,
    "html_200": UndecodableResult,
}
REFUSALS = ("401", "403", "404", "quote_key", "redirect_other_origin")
LASTING = ("404", "quote_key", "redirect_same_origin", "429_seconds", "503")
ODDITIES: dict[str, dict[str, Any]] = {
    **{f"next is {how}": {"next_is": how} for how in ("null", "wrong", "absent", "string")},
    **{f"count is {how}": {"count_is": how} for how in ("null", "absent", "string")},
    **{f"count is {error} off": {"count_is": "wrong", "count_error": error} for error in (7, -7, 10_000)},
    "count is far too small": {"count_is": "wrong", "count_error": -66},
    "neither next nor count": {"next_is": "absent", "count_is": "absent"},
    "no next, and a small count": {"next_is": "null", "count_is": "wrong", "count_error": -66},
    "a record twice on a page": {"duplicates": "page"},
    "a record on two pages": {"duplicates": "across"},
}


class Trouble:
    """A fault or an oddity, once at each of these stages, or permanently from the first such request on."""

    def __init__(
        self,
        *stages: str,
        fault: str | None = None,
        oddity: dict[str, Any] | None = None,
        lasts: bool = False,
    ) -> None:
        self.to_come = list(stages)
        self.has_struck = False
        self._fault, self._oddity, self.lasts = fault, oddity or {}, lasts

    def come_over(self, emulator: Emulator) -> None:
        """Apply the fault or oddity to each request for which it is due."""

        def strike(request: RequestInfo) -> None:
            due = next((stage for stage in self.to_come if STAGES[stage](request)), None)
            is_due = due is not None or (self.lasts and self.has_struck)
            if due is not None:
                self.to_come.remove(due)
                self.has_struck = True
            if is_due and self._fault is not None:
                emulator.behaviour.faults.append(Fault(self._fault, seconds=60 if self.lasts else 0))
            for name, value in self._oddity.items():
                setattr(emulator.behaviour, name, value if is_due else getattr(Behaviour(), name))

        emulator.behaviour.before_request = strike


@pytest.fixture(scope="module", autouse=True)
def no_certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let clients load one certificate instead of a hundred, because TLS is not used here."""
    first = Path(certifi.where()).read_text().split("-----END CERTIFICATE-----")[0]
    file = tmp_path_factory.mktemp("certificates") / "one.pem"
    file.write_text(f"{first}-----END CERTIFICATE-----\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(file))
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Emulator, Path]]:
    """Yield the server, six hours on, and the database of a sync before that."""
    path = tmp_path_factory.mktemp("grid") / "tasks.db"
    with serve(a_world(40, arrivals_per_hour=5), Behaviour(page_cap=PAGE)) as emulator:
        prepare(emulator, f"sqlite:///{path}")
        yield emulator, path


def prepare(emulator: Emulator, database_url: str) -> None:
    """Sync, then advance six hours, during which some old in-flight tasks outside the window finish."""
    world = emulator.world
    old = [world.create(created_at=NOW - dt.timedelta(days=3)) for _ in range(8)]
    for task_id in old:
        world.start(task_id)
    run_sync(settings_for(emulator, database_url))
    world.advance(dt.timedelta(hours=6))
    for task_id in old[::2]:
        world.finish(task_id)


@pytest.fixture
def emulator(source: tuple[Emulator, Path]) -> Iterator[Emulator]:
    emulator, _ = source
    yield emulator
    emulator.behaviour = Behaviour(page_cap=PAGE)


@pytest.fixture
def grid_url(source: tuple[Emulator, Path], sqlite_databases: SqliteDatabases, mode: str) -> Iterator[str]:
    with sqlite_databases.migrated() as url:
        if mode != "first":
            shutil.copyfile(source[1], url.removeprefix("sqlite:///"))
        yield url


# Retries happen immediately, or never, because the next attempt would be too late.
AT_ONCE, NEVER = Backoff(first=0.01), Backoff(first=1000, longest=1000)


def sync(
    emulator: Emulator, database_url: str, mode: str, *, with_results: bool, backoff: Backoff | None = None
) -> None:
    options = SyncOptions(is_full=mode == "full", with_results=with_results)
    settings = settings_for(emulator, database_url, retry_for=dt.timedelta(seconds=10))
    run_sync(settings, options, backoff=backoff)


def archived(database_url: str) -> set[str]:
    return {
        row[0] for row in query(database_url, "SELECT task_id FROM task_results WHERE state = 'archived'")
    }


def finished(world: World) -> set[str]:
    return {task.task_id for task in world.tasks.values() if task.status in {"SUCCESS", "FAILURE"}}


def check_failure(database_url: str, error: EtlError, before: dict[str, Any], true: dict[str, Any]) -> None:
    """Check that the run is recorded as failed, keeps all stored tasks, and has stored nothing wrong."""
    ((status, told, watermark_before, watermark_after),) = query(
        database_url,
        "SELECT status, error, watermark_before, watermark_after FROM sync_runs ORDER BY run_id DESC LIMIT 1",
    )
    assert (status, told) == ("failed", str(error))
    after = stored_states(database_url)
    assert before.keys() <= after.keys()
    assert all(state in (before.get(task_id), true[task_id]) for task_id, state in after.items())
    assert watermark_before == watermark_after or after == true


def suffer(
    emulator: Emulator,
    trouble: Trouble,
    database_url: str,
    mode: str,
    stage: str,
    *,
    backoff: Backoff | None = None,
) -> EtlError | None:
    """Run a sync with this trouble; check that it leaves no gap, and that the next one completes the data."""
    true, before = true_states(emulator.world), stored_states(database_url)
    with_results = stage == "at a result"
    trouble.come_over(emulator)
    error = None
    try:
        sync(emulator, database_url, mode, with_results=with_results, backoff=backoff)
    except EtlError as caught:
        error = caught
        check_failure(database_url, error, before, true)
    else:
        assert stored_states(database_url) == true
    assert trouble.has_struck
    assert query(database_url, "SELECT count(*) FROM task_history WHERE event = 'removed'") == [(0,)]
    emulator.behaviour = Behaviour(page_cap=PAGE)
    if error is not None or trouble.lasts:
        sync(emulator, database_url, mode, with_results=False)
        assert stored_states(database_url) == true
    return error


def check_end(error: EtlError | None, fault: str, stage: str) -> None:
    """Check that the fault allows this error; a refused result is requested again later."""
    if stage == "at a result" and fault in {"404", "quote_key"}:
        assert error is None or isinstance(error, Unreachable)
    else:
        assert type(error) is ENDS[fault] or (error is None and fault in {"404", "quote_key"})


@one_in(2, "mode, fault", MODES, PASSING)
def test_transient_faults_at_any_stage_lose_no_data(emulator, grid_url, mode, fault):
    stages = [stage for each, stage in PLACES if each == mode]
    trouble = Trouble(*stages, fault=fault)
    trouble.come_over(emulator)
    sync(emulator, grid_url, mode, with_results=True, backoff=AT_ONCE)
    assert trouble.to_come == []
    assert stored_states(grid_url) == true_states(emulator.world)
    assert archived(grid_url) == finished(emulator.world)


@one_in(2, "mode, stage, fault", PLACES, LASTING)
def test_permanent_fault_fails_the_run_or_loses_no_data(emulator, grid_url, mode, stage, fault):
    error = suffer(emulator, Trouble(stage, fault=fault, lasts=True), grid_url, mode, stage, backoff=NEVER)
    check_end(error, fault, stage)
    assert error is not None or stage not in {"at the first request", "between pages"}


@one_in(2, "mode, stage, fault", PLACES, REFUSALS)
def test_refusal_during_a_run_leaves_no_gap(emulator, grid_url, mode, stage, fault):
    check_end(suffer(emulator, Trouble(stage, fault=fault), grid_url, mode, stage), fault, stage)


@one_in(2, "mode, stage, oddity", PAGES, ODDITIES)
def test_inconsistent_page_hides_no_tasks(emulator, grid_url, mode, stage, oddity):
    """Permanently from the first request on, or once on a later page."""
    trouble = Trouble(stage, oddity=ODDITIES[oddity], lasts=stage == "at the first request")
    error = suffer(emulator, trouble, grid_url, mode, stage)
    assert error is None or isinstance(error, SourceError)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fault", ["404", "503"])
def test_fault_without_page_overlap_leaves_no_gap(emulator, grid_url, mode, fault):
    emulator.behaviour.page_cap = 2
    suffer(emulator, Trouble("between pages", fault=fault), grid_url, mode, "between pages")


@pytest.fixture
def postgres(postgres_databases: PostgresDatabases) -> Iterator[tuple[Emulator, str]]:
    """Yield a server, and a database that a sync of six hours ago has filled."""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(postgres_databases.migrated())
        world = a_world(40, arrivals_per_hour=5)
        emulator = stack.enter_context(serve(world, Behaviour(page_cap=PAGE)))
        prepare(emulator, url)
        yield emulator, url


@pytest.mark.parametrize("mode", MODES[1:])
@pytest.mark.parametrize(
    "stage, fault, lasts",
    [
        ("at the first request", "redirect_other_origin", False),
        ("between pages", "html_200", True),
        ("between pages", "404", False),
        ("at a result", "401", False),
        ("at a result", "reset", True),
    ],
)
def test_faults_on_postgres_leave_no_gap(postgres, mode, stage, fault, lasts):
    emulator, url = postgres
    error = suffer(emulator, Trouble(stage, fault=fault, lasts=lasts), url, mode, stage, backoff=NEVER)
    check_end(error, fault, stage)
    emulator.behaviour = Behaviour(page_cap=PAGE)
    sync(emulator, url, mode, with_results=True)
    assert archived(url) == finished(emulator.world)
