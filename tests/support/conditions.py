"""Error conditions in the environment of a sync, and the exit code and message of each."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from sqlalchemy import text

from etl.database import open_engine

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.commands import Command

    from etl.emulator import Emulator

    Arrange = Callable[[Command, Emulator], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Condition:
    """
    An error condition.

    In the values of `environment`, `{base}` is the emulator's URL; the error message contains `words`.
    """

    code: int
    words: str
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    arrange: Arrange | None = None


def execute(database_url: str, statement: str) -> None:
    """Execute a statement that the program never executes."""
    engine = open_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def _make_newer(command: Command, _emulator: Emulator) -> None:
    assert command("sync").code == 0
    execute(command.database_url, "UPDATE alembic_version SET version_num = '9999'")


def _make_strange(command: Command, _emulator: Emulator) -> None:
    execute(command.database_url, "CREATE TABLE tasks (id INTEGER)")


def _disable(_command: Command, emulator: Emulator) -> None:
    emulator.behaviour.feature_disabled = True


def _forbid(_command: Command, emulator: Emulator) -> None:
    emulator.behaviour.bad_key_status = 403


def _base(url: str) -> dict[str, str]:
    return {"GCORE_BASE_URL": url, "GCORE_ETL_RETRY_FOR": "0.1s"}


def _database(url: str) -> dict[str, str]:
    return {"GCORE_ETL_DATABASE_URL": url}


_ANOTHER_KEY = {"GCORE_API_KEY": "1234$another-canary"}

CONDITIONS = {
    "no key": Condition(3, "export GCORE_API_KEY='…', in single quotes", {"GCORE_API_KEY": ""}),
    "senseless key": Condition(3, "GCORE_API_KEY: contains white space", {"GCORE_API_KEY": "1234$a canary"}),
    "wrong key": Condition(3, "refused the API key (HTTP 401)", _ANOTHER_KEY),
    "forbidden": Condition(3, "refused the API key (HTTP 403)", _ANOTHER_KEY, _forbid),
    "no feature": Condition(3, "AI tasks are not enabled", {}, _disable),
    "no base URL": Condition(3, "GCORE_BASE_URL: is not a URL", _base("gcore")),
    "no API there": Condition(1, "check GCORE_BASE_URL", _base("{base}/elsewhere")),
    "unreachable": Condition(1, "Connection refused", _base("http://127.0.0.1:1")),
    "no host": Condition(1, "nowhere.invalid", _base("http://nowhere.invalid")),
    "unknown kind of proxy": Condition(3, "HTTP_PROXY names a kind of proxy", {"HTTP_PROXY": "foo://x:1"}),
    "no certificates": Condition(
        3, "SSL_CERT_FILE names a file", {**_base("https://127.0.0.1:1"), "SSL_CERT_FILE": "/nowhere/ca.pem"}
    ),
    "no database URL": Condition(3, "sqlite:///gcore_tasks.db or", _database("tasks.db")),
    "memory": Condition(3, "names no file", _database("sqlite://")),
    "another database": Condition(3, "not supported", _database("mysql://u:canary@h/d")),
    "Postgres down": Condition(4, "refused", _database("postgresql://u:canary@127.0.0.1:1/d")),
    "unknown option": Condition(
        3, "no option 'pgbouncer': leave it out", _database("postgresql://u:canary@h/d?pgbouncer=true")
    ),
    "no database": Condition(4, "no folder", _database("sqlite:////dev/null/x/y.db")),
    "newer schema": Condition(4, "upgrade gcore-etl", {}, _make_newer),
    "other tables": Condition(4, "belongs to another program", {}, _make_strange),
}


def meet(command: Command, emulator: Emulator, name: str) -> dict[str, str]:
    """Establish a condition, and return the environment variables for it."""
    condition = CONDITIONS[name]
    if condition.arrange is not None:
        condition.arrange(command, emulator)
    return {each: value.format(base=emulator.base_url) for each, value in condition.environment.items()}
