"""Fixtures that every kind of test may use. Data comes from builders in `tests/support`, not from here."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import pytest
from support.absent import give_up
from support.databases import (
    Databases,
    PostgresDatabases,
    PostgresMissingError,
    SqliteDatabases,
    postgres_server,
)

from etl.database import open_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine


@pytest.fixture(scope="session", autouse=True)
def clean_environment() -> Iterator[None]:
    """Hide the settings of whoever runs the tests: no test may meet a real key or a real database."""
    with pytest.MonkeyPatch.context() as patch:
        for variable in [name for name in os.environ if name.startswith("GCORE_")]:
            if not variable.startswith("GCORE_ETL_TEST_"):
                patch.delenv(variable)
        yield


@pytest.fixture(scope="session")
def sqlite_databases(tmp_path_factory: pytest.TempPathFactory) -> SqliteDatabases:
    """Fresh SQLite files."""
    return SqliteDatabases(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="session")
def postgres_databases() -> Iterator[PostgresDatabases]:
    """Fresh Postgres databases; without a server, skips at a desk and fails in CI."""
    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(postgres_server())
        except PostgresMissingError as error:
            give_up(str(error))
        databases = stack.enter_context(contextlib.closing(PostgresDatabases(url)))
        yield databases


@pytest.fixture(params=["sqlite", "postgres"])
def databases(request: pytest.FixtureRequest) -> Databases:
    """Fresh databases: first of the one kind, then of the other."""
    source: Databases = request.getfixturevalue(f"{request.param}_databases")
    return source


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """Name an empty database: on SQLite, a file that does not exist yet."""
    with databases.empty() as url:
        yield url


@pytest.fixture
def migrated_url(databases: Databases) -> Iterator[str]:
    """Name a database at head."""
    with databases.migrated() as url:
        yield url


@pytest.fixture
def engine(migrated_url: str) -> Iterator[Engine]:
    """Open a database at head for writing."""
    engine = open_engine(migrated_url)
    yield engine
    engine.dispose()
