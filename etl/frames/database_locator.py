"""Which copy a notebook reads, wherever its kernel was started."""

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
class Found:
    """The URL of a copy, which may hold a password, and a sentence without it that says which copy it is."""

    url: str = dataclasses.field(repr=False)
    description: str


def find_database(folder: Path | None = None) -> Found:
    """
    Return the copy to read: what GCORE_ETL_DATABASE_URL names, else `gcore_tasks.db`, else the demo's.

    A relative path is looked for in `folder`, by default the current one, and in the folder above: Jupyter
    starts a notebook in the notebook's own folder. Raises NoTablesError where there is no such file, and
    ConfigurationError for a URL that cannot work.
    """
    folder = Path.cwd() if folder is None else folder
    settings = Settings.load()
    named = _SQLITE_FILE.fullmatch(settings.database_url)
    if named is None:
        url = open_engine(settings.database_url).url
        return Found(
            settings.database_url, f"Reading the database {url.database} on {url.host or 'Postgres'}."
        )
    file = unquote(named[1])
    places = list(dict.fromkeys((folder.absolute() / file, folder.absolute().parent / file)))
    for place in places:
        if place.exists():
            return Found(_url(place), f"Reading {place}.")
    is_default = settings.database_url == Settings().database_url
    demos = [place.with_name(DEMO) for place in places] if is_default else []
    for place in demos:
        if place.exists():
            return Found(_url(place), f"Reading the demo, whose tasks are made up: {place}.")
    raise NoTablesError(
        f"there is no database at {' or '.join(map(str, places))}: run gcore-etl sync, or for made-up tasks "
        "make demo, or set GCORE_ETL_DATABASE_URL to a URL with the whole path"
    )


def _url(place: Path) -> str:
    return f"sqlite:///{quote(str(place))}"
