"""The duration of every view, every saved query, and on Postgres every dashboard panel."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.year import NOW
from etl import views
from etl.database import open_engine
from etl.queries import saved_queries

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

DASHBOARD = Path(__file__).parents[1] / "docs" / "grafana-dashboard.json"


def queries(dialect: str, *, since: dt.datetime, until: dt.datetime = NOW) -> dict[str, str]:
    """Return every query by name; those of the dashboard cover `since` to `until`."""
    found = {f"view {name}": f"SELECT * FROM {name}" for name in views.NAMES}
    found |= {f"question {each.name}": each.sql[dialect] for each in saved_queries()}
    if dialect == "postgresql":
        bounds = f"BETWEEN '{since.isoformat()}' AND '{until.isoformat()}'"
        for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
            text = re.sub(r"\$__timeFilter\(([^)]*)\)", rf"\1 {bounds}", panel["targets"][0]["rawSql"])
            types = "'transcription', 'content-moderation', 'unknown'"
            found[f"panel {panel['title']}"] = text.replace("$type", types)
    return found


def measure_queries(database: str, *, since: dt.datetime) -> Iterator[tuple[str, int, float]]:
    """
    Yield the name of each query, its number of rows, and its duration in seconds.

    On SQLite, which runs in this process, the duration is CPU time.
    """
    engine = open_engine(database, read_only=True)
    clock = time.process_time if engine.dialect.name == "sqlite" else time.perf_counter
    with engine.connect() as connection:
        cursor: Any = connection.connection.cursor()
        for name, query in queries(engine.dialect.name, since=since).items():
            started = clock()
            cursor.execute(query)
            rows = 0
            while part := cursor.fetchmany(1000):
                rows += len(part)
            yield name, rows, clock() - started
    engine.dispose()
