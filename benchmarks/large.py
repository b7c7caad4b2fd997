"""Every command that reads a copy, on a copy after a year of syncs, and the size of its database."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from benchmarks import field
from benchmarks.measure import AN_HOUR, run
from benchmarks.year import fill_year
from etl.database import open_engine
from etl.load.transcript_index import reindex_transcripts

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNTED = ("tasks", "task_history", "task_results", "subtitles", "detections")


def fill(database: str, *, tasks: int, runs: int) -> dict[str, Any]:
    """Store a year of syncs with searchable transcripts; return the numbers of rows and the size in bytes."""
    fill_year(database, tasks=tasks, runs=runs)
    engine = open_engine(database)
    with engine.connect() as connection:
        for _ in reindex_transcripts(connection):
            pass
    with engine.connect() as connection:
        rows = {name: connection.scalar(sa.text(f"SELECT count(*) FROM {name}")) for name in COUNTED}
        if engine.dialect.name == "sqlite":
            size = Path(engine.url.database or "").stat().st_size
        else:
            size = connection.scalar(sa.text("SELECT pg_database_size(current_database())"))
    engine.dispose()
    return {"rows": rows, "size": size}


def commands(folder: Path) -> dict[str, list[str]]:
    """Return the arguments of each command to measure; files are written to the folder."""
    return {
        "`status`": ["status"],
        "`runs`": ["runs"],
        "`search`, a word of every transcript": ["search", "minutes"],
        "`search`, a word of none": ["search", "absent"],
        "`db check`": ["db", "check"],
        "`report`, 30 days": ["report", "-o", str(folder / "report.html"), "--until", "2026-06-26"],
        **{
            f"`export {table}`, Parquet": ["export", table, "-o", str(folder / f"{table}.parquet")]
            for table in COUNTED
        },
    }


def measure_commands(database: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the name, wall time, CPU time in seconds and peak memory in MB of each command."""
    for name, arguments in commands(folder).items():
        sample = run(*field.local(database, *arguments), limit=AN_HOUR)
        yield {"command": name, **dataclasses.asdict(sample)}
