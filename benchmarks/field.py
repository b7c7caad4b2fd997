"""The contenders, and the command of each."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent
KEY = "1$benchmark"
KINDS = ("sqlite", "postgres")
COMMAND = str(Path(sys.executable).with_name("gcore-etl"))
Started = tuple[list[str], dict[str, str]]


@dataclasses.dataclass(frozen=True, slots=True)
class Contender:
    """
    A program to measure.

    `start` returns its command and environment variables for the URLs of the source and the database; `again`
    those of a second run, if they differ. `environment` is its own environment in `peers/`, `package` the
    package whose version is shown, and `kinds` are the databases that it supports.
    """

    name: str
    start: Callable[[str, str], Started]
    again: Callable[[str, str], Started] | None = None
    environment: str | None = None
    package: str | None = None
    kinds: tuple[str, ...] = KINDS

    def version(self) -> str:
        """Return the name, with the version if it is a package."""
        if self.package is None:
            return self.name
        asked = f"import importlib.metadata as m; print(m.version({self.package!r}))"
        found = subprocess.run(
            [python(self.environment), "-c", asked], check=True, capture_output=True, text=True
        )
        return f"{self.name} ({self.package} {found.stdout.strip()})"


def python(environment: str | None) -> str:
    """Return the interpreter of an environment, which is created if necessary; None is the project's own."""
    if environment is None:
        return sys.executable
    folder = ROOT / ".venv" / "peers" / environment
    interpreter = folder / "bin" / "python"
    pins = HERE / "peers" / f"{environment}.txt"
    stamp = folder / ".installed"
    if not stamp.exists() or stamp.stat().st_mtime < pins.stat().st_mtime:
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "--quiet", "--clear", str(folder)], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", str(interpreter), "--require-hashes"]
        subprocess.run([*install, "-r", str(pins)], check=True)
        stamp.touch()
    return str(interpreter)


def _ours(*options: str) -> Callable[[str, str], Started]:
    command = [COMMAND, "sync", "--no-results", "--json", *options]

    def start(url: str, database: str) -> Started:
        variables = {"GCORE_API_KEY": KEY, "GCORE_BASE_URL": url, "GCORE_ETL_DATABASE_URL": database}
        return command, variables

    return start


def _with_results(url: str, database: str) -> Started:
    command = [COMMAND, "sync", "--json", "--max-results", "10000000"]
    return command, _ours()(url, database)[1]


def _imports(_url: str, _database: str) -> Started:
    return [python(None), "-c", "import sqlalchemy, httpx"], {}


def concurrent(contender: Contender, concurrency: int) -> Callable[[str, str], Started]:
    """Return what starts gcore-etl with this number of concurrent requests."""

    def start(url: str, database: str) -> Started:
        command, variables = contender.start(url, database)
        return command, {**variables, "GCORE_ETL_CONCURRENCY": str(concurrency)}

    return start


def local(database: str, *arguments: str) -> Started:
    """Return a command that only reads a database."""
    return [COMMAND, *arguments], {"GCORE_ETL_DATABASE_URL": database}


def reading(database: str, how: str, held: Path) -> Started:
    """
    Return the command that reads every task into a DataFrame: with `frames`, or pandas alone (`read_sql`).

    It writes the memory in MB that it holds at its end to the file `held`.
    """
    return [python(None), str(HERE / "contenders" / "read_frames.py"), database, how, str(held)], {}


def _script(name: str, *options: str, environment: str | None = None) -> Callable[[str, str], Started]:
    def start(url: str, database: str) -> Started:
        script = str(HERE / "contenders" / f"{name}.py")
        return [python(environment), script, url, database, *options], {}

    return start


OURS = Contender("gcore-etl", _ours(), _ours("--full"))
ARCHIVE = Contender("gcore-etl, results", _with_results)
DETAILS_ALONE = Contender("the client alone, results thrown away", _script("fetch_details"))
HTTPX_ALONE = Contender("httpx alone, results thrown away", _script("fetch_details", "--httpx"))
NOTHING_NEW = Contender("gcore-etl, nothing new", _ours())
IMPORTS = Contender("importing SQLAlchemy and httpx", _imports)
PROTOTYPE = Contender("bare prototype", _script("prototype"))
FLOOR = Contender("prototype that stores all of it", _script("floor"))
HASHING = Contender("bare prototype, hashing", _script("prototype", "--hash"))


def _peer(name: str, package: str, script: str, *options: str, environment: str, only: str = "") -> Contender:
    start = _script(script, *options, environment=environment)
    return Contender(name, start, environment=environment, package=package, kinds=(only,) if only else KINDS)


PEERS = [
    _peer("dlt, Arrow by hand", "dlt", "dlt_arrow", environment="dlt"),
    _peer("Sling, on files of pages", "sling-linux-amd64", "sling", environment="sling"),
    _peer("dlt, REST source, tuned", "dlt", "dlt_rest", "--tuned", environment="dlt"),
    _peer("dlt, REST source, as documented", "dlt", "dlt_rest", environment="dlt"),
    _peer("Singer", "singer-sdk", "singer", environment="singer", only="postgres"),
    _peer("script on the vendor's SDK", "gcore", "sdk_script", environment="sdk"),
    _peer("PyAirbyte", "airbyte", "airbyte_yaml", environment="airbyte", only="postgres"),
    Contender("httpx and Session.merge", _script("orm_merge"), package="sqlalchemy"),
]
