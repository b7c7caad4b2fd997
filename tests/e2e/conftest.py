"""Fixtures for tests of the command: an emulator, and the command configured for it and a database."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from support.absent import give_up
from support.commands import Command, Sandboxed
from support.processes import Nursery, environment_for
from support.sandbox import Sandbox, missing, shared_folder
from support.scenes import Scene
from support.worlds import a_world

from etl.emulator import Behaviour, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.databases import PostgresDatabases, SqliteDatabases

    from etl.emulator import Emulator


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Yield a nursery, which forks processes that have already loaded the program."""
    with Nursery() as nursery:
        yield nursery


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandboxed]:
    """Yield a sandbox that runs commands as other users; requires root."""
    reason = missing()
    if reason is not None:
        give_up(reason)
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(shared_folder())
        folder, view = place / "folder", place / "view"
        for each in (folder, view):
            each.mkdir(0o755)
        box = Sandbox(views=[(str(folder), str(view))])
        yield Sandboxed(stack.enter_context(Nursery(box.command)), folder, view)


@pytest.fixture(scope="session")
def bare_box() -> Iterator[Sandboxed]:
    """Yield a sandbox in which only one folder is writable, and there is no folder for temporary files."""
    reason = missing()
    if reason is not None:
        give_up(reason)
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(shared_folder())
        box = Sandbox(only_writable=str(place))
        yield Sandboxed(stack.enter_context(Nursery(box.command, place, ["etl.report"])), place, place)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Serve a small world whose clock does not advance."""
    with serve(a_world(30), Behaviour(page_cap=20)) as emulator:
        yield emulator


@pytest.fixture
def command(nursery: Nursery, emulator: Emulator, database_url: str) -> Command:
    """Return the command with an empty database, first on SQLite, then on Postgres."""
    return Command(nursery, environment_for(emulator, database_url))


@pytest.fixture
def sqlite_command(nursery: Nursery, emulator: Emulator, tmp_path: object) -> Command:
    """Return the command with an SQLite database that does not exist yet, in an empty folder."""
    return Command(nursery, environment_for(emulator, f"sqlite:///{tmp_path}/tasks.db"))


@pytest.fixture
def scene(nursery: Nursery, emulator: Emulator, database_url: str) -> Iterator[Scene]:
    """Yield commands that can be halted, with an empty database, first on SQLite, then on Postgres."""
    yield Scene(nursery, emulator, database_url)
    nursery.clear()


@pytest.fixture
def sqlite_scene(nursery: Nursery, emulator: Emulator, sqlite_databases: SqliteDatabases) -> Iterator[Scene]:
    """Yield the like on SQLite alone."""
    with sqlite_databases.empty() as url:
        yield Scene(nursery, emulator, url)
        nursery.clear()


@pytest.fixture
def postgres_scene(
    nursery: Nursery, emulator: Emulator, postgres_databases: PostgresDatabases
) -> Iterator[Scene]:
    """Yield the like on Postgres alone, with a database at head."""
    with postgres_databases.migrated() as url:
        yield Scene(nursery, emulator, url)
        nursery.clear()


@pytest.fixture(scope="module")
def jupyter_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    """Keep Jupyter and IPython from using the home folder; what is set besides is undone afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
            patch.setenv(variable, str(tmp_path_factory.mktemp(variable.lower())))
        yield patch


# These behave the same on both databases; the differences are tested elsewhere.
ALIKE = {"test_cli_mistakes", "test_cli_export", "test_cli_reports", "test_cli_search", "test_cli_json"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the Postgres cases of these modules as slow; their SQLite cases always run."""
    for item in items:
        case = getattr(item, "callspec", None)
        if item.path.stem in ALIKE and case is not None and "postgres" in case.params.values():
            item.add_marker(pytest.mark.slow)
