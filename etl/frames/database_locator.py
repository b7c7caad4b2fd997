"""Finding the database for a notebook, whatever folder its kernel was started in."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from etl.database import file_of, open_engine, sqlite_url
from etl.errors import NoTablesError
from etl.settings import Settings

DEMO = "gcore_demo.db"


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
    folder = (folder or Path.cwd()).absolute()
    settings = Settings.load()
    found = (file_of(settings.database_url, each) for each in (folder, folder.parent))
    places = list(dict.fromkeys(filter(None, found)))
    if not places:
        url = open_engine(settings.database_url).url
        return FoundDatabase(
            settings.database_url, f"Reading the database {url.database} on {url.host or 'Postgres'}."
        )
    for place in places:
        if place.exists():
            return FoundDatabase(sqlite_url(place), f"Reading {place}.")
    is_default = settings.database_url == Settings().database_url
    demos = [place.with_name(DEMO) for place in places] if is_default else []
    for place in demos:
        if place.exists():
            return FoundDatabase(
                sqlite_url(place), f"Reading the demo database, whose tasks are made up: {place}."
            )
    raise NoTablesError(
        f"there is no database at {' or '.join(map(str, places))}: run gcore-etl sync, or make demo for "
        "made-up tasks, or set GCORE_ETL_DATABASE_URL to a URL with an absolute path"
    )
