"""The command line of the benchmarks."""

from __future__ import annotations

import json
import platform
import statistics
from importlib.metadata import version
from pathlib import Path

import click

from benchmarks import field
from benchmarks.measure import ContenderFailed, Databases, Sample, count_rows, figures, run, served

KINDS = ("sqlite", "postgres")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure gcore-etl against the bare minimum and against what else people use."""


def measure(
    contender: field.Contender, url: str, database: str, expected: int, *, again: bool = True
) -> list[Sample]:
    """Run a contender on an empty database, and once more over the same source."""
    samples = [run(*contender.start(url, database))]
    if again:
        samples.append(run(*(contender.again or contender.start)(url, database)))
    found = count_rows(database)
    if found != expected:
        raise ContenderFailed(f"{contender.name} stored {found:,} of {expected:,} tasks")
    return samples


def middle(samples: list[Sample], name: str) -> float:
    """Give the median of one figure."""
    return statistics.median(getattr(sample, name) for sample in samples)


def machine() -> str:
    """Say where this was measured."""
    import os  # noqa: PLC0415
    import sqlite3  # noqa: PLC0415

    names = ("httpx", "msgspec", "sqlalchemy", "psycopg")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    cores = os.cpu_count()
    python = platform.python_version()
    return (
        f"{cores} cores, {platform.machine()}, Python {python}, SQLite {sqlite3.sqlite_version}, {versions}"
    )


@main.command()
@click.option("--tasks", default=20_000, show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, default=KINDS)
def quick(tasks: int, rounds: int, kinds: tuple[str, ...]) -> None:
    """Give our time as a multiple of the bare prototype's: under a minute, ratios only."""
    with served(tasks) as url, Databases() as databases:
        for kind in kinds:
            runs: dict[str, list[list[Sample]]] = {"ours": [], "bare": [], "hash": []}
            contenders = {"ours": field.OURS, "bare": field.PROTOTYPE, "hash": field.HASHING}
            for _ in range(rounds):
                for name, contender in contenders.items():
                    runs[name].append(measure(contender, url, databases.empty(kind), tasks))
            for place, what, against in ((0, "full load", "bare"), (1, "over unchanged data", "hash")):
                for figure in ("wall", "cpu"):
                    ours, theirs = ([each[place] for each in runs[name]] for name in ("ours", against))
                    ratio = min(getattr(s, figure) for s in ours) / min(getattr(s, figure) for s in theirs)
                    click.echo(
                        f"{kind:9} {what:20} {figure:5} {ratio:5.2f} × prototype "
                        f"({middle(ours, figure):.2f} s against {middle(theirs, figure):.2f} s)"
                    )
            click.echo(f"{kind:9} peak memory {max(each[0].memory for each in runs['ours']):.0f} MB")


if __name__ == "__main__":
    main()
