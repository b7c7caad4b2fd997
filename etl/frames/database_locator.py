"""Finding the database for a notebook, whatever folder its kernel was started in."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from urllib.parse import quote, unquote

from etl.database import open_engine
from etl.errors import NoTablesError
from etl.settings import Settings

DEMO = "gcore_demo.db"
_SQLITE_FILE = re.compile(r"\s*sqlite(?:\+pysqlite)?:///(.+?)\s*", re.DOTALL)


@dataclasses.dataclass(frozen=True, slots=True)
class FoundDatabase:
    """The URL of a database, which may contain a password, and a description without it."""

    url: str = dataclasses.field(repr=False)
    description: str


def find_database(folder: Path | None = None) -> FoundDatabase:
    """
    Return the database in GCORE_ETL_DATABASE_URL, else `gcore_tasks.db`, else that of the demo.

    A relative path is searched for in `folder` (default: the current folder) and its parent, because Jupyter
    starts a notebook in the folder of the notebook. Raises NoTablesError if there is no such file, and
    ConfigurationError for an invalid URL.
    """
    folder = Path.cwd() if folder is None else folder
    settings = Settings.load()
    named = _SQLITE_FILE.fullmatch(settings.database_url)
    if named is None:
        url = open_engine(settings.database_url).url
        return FoundDatabase(
            settings.database_url, f"Reading the database {url.database} on {url.host or 'Postgres'}."
        )
    file = unquote(named[1])
    places = list(dict.fromkeys((folder.absolute() / file, folder.absolute().parent / file)))
    for place in places:
        if place.exists():
            return FoundDatabase(_url(place), f"Reading {place}.")
    is_default = settings.database_url == Settings().database_url
    demos = [place.with_name(DEMO) for place in places] if is_default else []
    for place in demos:
        if place.exists():
            return FoundDatabase(_url(place), f"Reading the demo database, whose tasks are made up: {place}.")
    raise NoTablesError(
        f"there is no database at {' or '.join(map(str, places))}: run gcore-etl sync, or make demo for "
        "made-up tasks, or set GCORE_ETL_DATABASE_URL to a URL with an absolute path"
    )


def _url(place: Path) -> str:
    return f"sqlite:///{quote(str(place))}"
